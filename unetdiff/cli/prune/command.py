"""The command: measure, decide or read a plan, take out, write the model, and say what has changed."""

import jsonargparse

from unetdiff.cli.figure import Picture
from unetdiff.cli.prune.additivity_report import AdditivityReport
from unetdiff.cli.prune.comparison import Comparison
from unetdiff.cli.prune.options import PruneOptions, require_new
from unetdiff.cli.prune.planning import Planning
from unetdiff.cli.prune.pruned_info import pruned_info
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.denoiser import Denoiser
from unetdiff.errors import user_input
from unetdiff.model_folder import save_model
from unetdiff.prune.additivity import measure_additivity, random_subsets
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.parts import parts_of
from unetdiff.prune.plan import Plan
from unetdiff.prune.planning import PlanConfig, make_plan

__all__ = ["parser", "run"]


def parser() -> jsonargparse.ArgumentParser:
    """Build the options."""
    result = jsonargparse.ArgumentParser(
        description="Take out the parts of a network that it misses least, after LAPTOP-Diff (Zhang et al. 2024).",
        usage="%(prog)s [model] data [options]",
    )
    result.add_argument("model", nargs="?", help="model, run or pipeline folder; without it the shipped model")
    result.add_argument("data", help="images to measure on, as `unetdiff data pack` takes them")
    Planning.add_options(result)
    result.add_class_arguments(PruneOptions)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Write the model folder with its plan, and print the tables."""
    options, planning = _options(args)
    picture = None if options.plot is None else Picture(options.plot)
    given = None if options.plan is None else Plan.read(options.plan)
    model = planning.load(args.model)
    calibration = planning.calibration(model)
    plan = make_plan(model.denoiser, calibration, planning.config) if given is None else given
    pruned = Denoiser(plan.apply(model.denoiser.unet), model.info.preconditioning)
    comparison = Comparison.of(model.denoiser, pruned, calibration)
    report = _additivity(model.denoiser, plan, planning.config, calibration, options.additivity)
    save_model(options.out, pruned.unet, pruned_info(model.info, model.folder, plan.summary))
    plan.write(options.out / "plan.json")
    print(_removed(plan))
    print(comparison.text())
    print(f"output loss of all together: {comparison.output_loss:.4g}{_summed(plan)}")
    if report is not None:
        report.write(options.out / "additivity.csv")
        print(report.text())
    if report is not None and picture is not None:
        report.draw(picture)
    print(options.out)


def _options(args: jsonargparse.Namespace) -> tuple[PruneOptions, Planning]:
    with user_input():
        chosen = parser().instantiate(args)
        options = options_from(PruneOptions, chosen)
        require_new(options.out)
        return options, Planning.of(chosen)


def _removed(plan: Plan) -> str:
    return "\n".join(f"removed {name} ({way})" for name, way in plan.removed.items()) or "nothing removed"


def _summed(plan: Plan) -> str:
    """The sum that the choice was made by, where it is one of output losses."""
    if plan.settings["criterion"] != "output-loss":
        return ""
    return f"; sum of their scores: {sum(plan.scores[name] for name in plan.scores if _gone(name, plan)):.4g}"


def _gone(part: str, plan: Plan) -> bool:
    return any(part == name or part.startswith(f"{name}.") for name in plan.removed)


def _additivity(
    denoiser: Denoiser, plan: Plan, config: PlanConfig, calibration: Calibration, sets: int
) -> AdditivityReport | None:
    """Of the plan's scores, on as many random sets of each size."""
    if sets == 0:
        return None
    subsets = random_subsets(parts_of(denoiser.unet, config.parts, config.zero), sets, config.seed)
    return AdditivityReport(measure_additivity(denoiser, plan.scores, calibration, subsets), config.criterion)
