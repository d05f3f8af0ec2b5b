"""The stages, each from the results of those before it to its own; one whose result is there is not made again.

plan        the parts that the network misses least, by their scores
prune       the network without them
distil      what remains learns from the whole network; goes on from its newest checkpoint
judge       cost, output and images of the whole network, of what remained, and of what it has learned
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unetdiff.atomic import replacing_folder
from unetdiff.cli.begun import write_settings
from unetdiff.cli.compress.distilling import distil
from unetdiff.cli.compress.folder import CompressionFolder
from unetdiff.cli.compress.judging import fitting, judged
from unetdiff.cli.compress.options import Asked
from unetdiff.cli.compress.picture import draw
from unetdiff.cli.compress.report import Report, Row
from unetdiff.cli.prune.comparison import costs_on
from unetdiff.cli.prune.pruned_info import pruned_info
from unetdiff.denoiser import Denoiser
from unetdiff.distillation.pairing import paired
from unetdiff.model_folder import find_model, load_model, save_model
from unetdiff.prune.additivity import joint_losses
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.latency import milliseconds
from unetdiff.prune.plan import Plan
from unetdiff.prune.planning import make_plan

__all__ = ["STAGES", "Stage"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`result` appears whole at the end of `make`."""

    result: Callable[[CompressionFolder], Path]
    make: Callable[[Asked, CompressionFolder], None]


def _plan(asked: Asked, folder: CompressionFolder) -> None:
    """Nothing is written before the plan is made; what later stages would refuse is refused here."""
    model = asked.planning.load(asked.model)
    config = model.denoiser.unet.config
    paired(config, config, asked.distill["nodes"])
    fitting(model, asked.planning.data.source, asked.judge)
    plan = make_plan(model.denoiser, asked.planning.calibration(model), asked.planning.config)
    write_settings(asked.settings(model.weights), folder.settings)
    plan.write(folder.plan)


def _prune(asked: Asked, folder: CompressionFolder) -> None:
    whole = find_model(asked.model)
    denoiser, info = load_model(whole)
    plan = Plan.read(folder.plan)
    save_model(folder.pruned, plan.apply(denoiser.unet), pruned_info(info, whole, plan.summary))


def _distil(asked: Asked, folder: CompressionFolder) -> None:
    distil(asked, folder.pruned, folder.distilled)
    with replacing_folder(folder.model) as staged:
        shutil.copytree(folder.distilled / "model", staged, dirs_exist_ok=True)
        shutil.copy(folder.plan, staged)


def _judge(asked: Asked, folder: CompressionFolder) -> None:
    model = asked.planning.load(asked.model)
    calibration = asked.planning.calibration(model)
    networks = {
        "teacher": model.denoiser,
        "pruned": load_model(folder.pruned, model.device)[0],
        "distilled": load_model(folder.model, model.device)[0],
    }
    source, options = asked.planning.data.source, asked.judge
    maker = fitting(model, source, options)
    draw(folder.picture, model, networks, calibration, options.columns, options.steps)
    report = Report(
        removed=len(Plan.read(folder.plan).removed),
        batch=len(next(calibration.batches)),
        images=options.images,
        networks=_rows(networks, calibration),
        distances={} if maker is None else judged(maker, networks, source, options, folder.features),
    )
    report.write_table(folder.table, folder.picture.name)
    report.write(folder.report)


def _rows(networks: dict[str, Denoiser], calibration: Calibration) -> dict[str, Row]:
    taken = milliseconds(networks, next(calibration.batches))
    losses = joint_losses(networks["teacher"], [denoiser.unet for denoiser in networks.values()], calibration)
    costs = {name: costs_on(denoiser, calibration) for name, denoiser in networks.items()}
    return {
        name: Row(parameters=costs[name].parameters, macs=costs[name].macs, milliseconds=taken[name], output_loss=loss)
        for name, loss in zip(networks, losses, strict=True)
    }


STAGES = {
    "plan": Stage(result=lambda folder: folder.plan, make=_plan),
    "prune": Stage(result=lambda folder: folder.pruned, make=_prune),
    "distil": Stage(result=lambda folder: folder.model, make=_distil),
    "judge": Stage(result=lambda folder: folder.report, make=_judge),
}
"""In their order."""
