"""`unetdiff replay`: the micro-batch on which a training step's numbers broke, through the same weights, watched."""

import copy
from pathlib import Path

import jsonargparse
import torch

from unetdiff.cli.train import config_parser, train_config
from unetdiff.errors import InputError
from unetdiff.losses import TrainingLoss
from unetdiff.training.config import TrainConfig
from unetdiff.training.loss import training_loss
from unetdiff.training.network import build_network
from unetdiff.training.nonfinite import Repro, Watch, read_repro, replay
from unetdiff.training.precision import allow_tf32
from unetdiff.training.teacher import load_teacher

__all__ = ["parser", "run"]


def parser() -> jsonargparse.ArgumentParser:
    """Which step, and where to compute it."""
    result = jsonargparse.ArgumentParser(description="Run again what made the loss or gradient of a step not finite.")
    result.add_argument("folder", type=Path, help="a folder of nonfinite/ in a run folder")
    result.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Print the loss of every image, and the first module whose numbers are not finite."""
    repro = read_repro(args.folder)
    config = train_config(config_parser("").parse_args(["--config", str(args.folder / "config.yaml")]))
    device = torch.device(args.device)
    allow_tf32(device, config.tf32)
    watch = replay(_loss(config, repro, args.folder, device), repro, device)
    print(_report(repro, watch))


def _loss(config: TrainConfig, repro: Repro, folder: Path, device: torch.device) -> TrainingLoss:
    """The loss as it was trained, with the weights as they were; they stand for their average, which is not kept."""
    unet = build_network(config, going_on=True).unet
    if config.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    uncertainty = config.objective.uncertainty
    log_variance = None if uncertainty is None else uncertainty.build()
    try:
        unet.load_state_dict(repro.weights["weights.safetensors"])
        if log_variance is not None:
            log_variance.load_state_dict(repro.weights["log_variance.safetensors"])
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{folder}: expected the weights of the network in config.yaml, got: {error}") from error
    average = copy.deepcopy(unet).to(device)
    return training_loss(config, unet, average, log_variance, load_teacher(config, device)).to(device)


def _report(repro: Repro, watch: Watch) -> str:
    facts, batch = repro.facts, repro.batch
    assert watch.losses is not None
    rows = zip(batch["samples"].tolist(), batch["sigma"].tolist(), watch.losses.float().tolist(), strict=True)
    found = "every number is finite" if watch.finding is None else f"first not finite is {watch.finding}"
    precision = "float32" if facts.precision == "no" else facts.precision
    return "\n".join(
        [
            f"step {facts.step}, part {facts.part} of process {facts.process}, {precision}: {found}",
            f"{'sample':>10} {'sigma':>10} {'loss':>12}",
            *(f"{sample:>10} {sigma:>10.4g} {loss:>12.5g}" for sample, sigma, loss in rows),
        ]
    )
