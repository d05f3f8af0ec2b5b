"""The command: measure, decide or read a plan, take out, write the model, and say what has changed."""

from dataclasses import replace

import jsonargparse
import torch

from unetdiff.cli.data_options import add_data_options, data_config
from unetdiff.cli.figure import Picture
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.prune.additivity_report import AdditivityReport
from unetdiff.cli.prune.calibration_set import calibration_set
from unetdiff.cli.prune.comparison import Comparison
from unetdiff.cli.prune.options import PruneOptions
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.conditioning.text_encoder import text_info
from unetdiff.data import DataConfig
from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError, user_input
from unetdiff.latent_images import codec_info
from unetdiff.model_folder import save_model
from unetdiff.model_info import ModelInfo
from unetdiff.prune.additivity import measure_additivity, random_subsets
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.parts import parts_of
from unetdiff.prune.plan import Plan
from unetdiff.prune.planning import PlanConfig, make_plan
from unetdiff.training.companions import Companions

__all__ = ["parser", "run"]


def parser() -> jsonargparse.ArgumentParser:
    """Build the options."""
    result = jsonargparse.ArgumentParser(
        description="Take out the parts of a network that it misses least, after LAPTOP-Diff (Zhang et al. 2024).",
        usage="%(prog)s [model] data [options]",
    )
    result.add_argument("model", nargs="?", help="model, run or pipeline folder; without it the shipped model")
    result.add_argument("data", help="images to measure on, as `unetdiff data pack` takes them")
    result.add_class_arguments(PlanConfig, skip={"protect", "force"})
    result.add_class_arguments(PruneOptions)
    add_data_options(result)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Write the model folder with its plan, and print the tables."""
    options, config, data = _options(args)
    picture = None if options.plot is None else Picture(options.plot)
    _require_new(options)
    given = None if options.plan is None else Plan.read(options.plan)
    model = LoadedModel.load(args.model, _device(options.device), options.text_encoder, options.codec)
    calibration = calibration_set(model, data, options, config.seed)
    plan = make_plan(model.denoiser, calibration, config) if given is None else given
    pruned = Denoiser(plan.apply(model.denoiser.unet), model.info.preconditioning)
    comparison = Comparison.of(model.denoiser, pruned, calibration)
    report = _additivity(model.denoiser, plan, config, calibration, options.additivity)
    save_model(options.out, pruned.unet, _info(model, plan))
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


def _options(args: jsonargparse.Namespace) -> tuple[PruneOptions, PlanConfig, DataConfig]:
    with user_input():
        chosen = parser().instantiate(args)
        options = options_from(PruneOptions, chosen)
        config = replace(
            options_from(PlanConfig, chosen), protect=_patterns(options.protect), force=_patterns(options.force)
        )
        return options, config, data_config(args.data, chosen)


def _patterns(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(text.split(","))


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: a CUDA device expected, torch finds none")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _require_new(options: PruneOptions) -> None:
    out = options.out
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise InputError(f"{out}: a new or empty folder expected, got {'a file' if out.is_file() else 'a full one'}")


def _info(model: LoadedModel, plan: Plan) -> ModelInfo:
    """That of the whole model; of a pipeline with what lies beside its network."""
    beside = Companions.find(str(model.folder))
    how = ", ".join(f"{name} {value}" for name, value in plan.settings.items() if value not in ("", False))
    return replace(
        model.info,
        text=model.info.text if beside.text is None else text_info(beside.text),
        codec=model.info.codec if beside.latents is None else codec_info(beside.latents.codec),
        training={**model.info.training, "pruned": how},
    )


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
