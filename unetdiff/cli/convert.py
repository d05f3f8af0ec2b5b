"""`unetdiff convert`: a network of EDM or guided-diffusion as a model folder."""

import json
from pathlib import Path
from typing import Literal

import jsonargparse

from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.interop import from_guided_diffusion
from unetdiff.interop.edm_pickle import read_edm_snapshot
from unetdiff.interop.unpickling import read_checkpoint
from unetdiff.model_folder import DataInfo, ModelInfo, save_model

__all__ = ["parser", "run"]

NoiseSchedule = Literal["linear", "cosine", "edm", "consistency"]


def parser() -> jsonargparse.ArgumentParser:
    """Build the two subcommands."""
    result = jsonargparse.ArgumentParser(description="Turn a pretrained network into a model folder.")
    families = result.add_subcommands(required=True, dest="family")
    edm = jsonargparse.ArgumentParser(description="A snapshot of EDM; nothing in the pickle is executed.")
    edm.add_argument("file", type=Path, help="network-snapshot-*.pkl")
    edm.add_argument("out", type=Path, help="model folder to write")
    families.add_subcommand("edm", edm, help="a network-snapshot-*.pkl of EDM")
    guided = jsonargparse.ArgumentParser(description="A checkpoint of guided-diffusion or of the consistency models.")
    guided.add_argument("file", type=Path, help="checkpoint, *.pt")
    guided.add_argument("out", type=Path, help="model folder to write")
    guided.add_argument("--network", type=Path, required=True, help="JSON file with the arguments of UNetModel")
    guided.add_argument("--noise_schedule", type=NoiseSchedule, default="linear", help="noise that it was trained on")
    guided.add_argument("--diffusion_steps", type=int, default=1000, help="length of a linear or cosine schedule")
    guided.add_argument("--rescale_timesteps", type=bool, default=False, help="timesteps from 0 to 1000 at any length")
    families.add_subcommand("guided", guided, help="a checkpoint of guided-diffusion or of the consistency models")
    edm.prog, guided.prog = "unetdiff convert edm", "unetdiff convert guided"
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Read, translate, save, and say what came of it."""
    family: str = args.family
    settings = args[family]
    out: Path = settings.out
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise InputError(f"{out}: a new or empty folder expected, got {'a file' if out.is_file() else 'a full one'}")
    denoiser = read_edm_snapshot(settings.file) if family == "edm" else _read_guided(settings)
    save_model(out, denoiser.unet, _info(denoiser, f"{family}, {settings.file.name}"))
    print(f"{out}: {denoiser.unet.num_parameters():,} parameters, {denoiser.preconditioning}")


def _read_guided(settings: jsonargparse.Namespace) -> Denoiser:
    try:
        network = json.loads(settings.network.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{settings.network}: JSON expected, got {error}") from error
    weights = read_checkpoint(settings.file)
    try:
        denoiser = from_guided_diffusion(
            weights,
            network,
            settings.noise_schedule,
            diffusion_steps=settings.diffusion_steps,
            rescale_timesteps=settings.rescale_timesteps,
        )
    except ValueError as error:
        raise InputError(f"{settings.file} as {settings.network}: {error}") from error
    if denoiser.unet.config.sample_size is None:
        raise InputError(f"{settings.network}: expected image_size among the arguments, got nothing")
    return denoiser


def _info(denoiser: Denoiser, source: str) -> ModelInfo:
    config = denoiser.unet.config
    assert config.image_size is not None
    height, width = config.image_size
    data = DataInfo(channels=config.in_channels, height=height, width=width)
    return ModelInfo(preconditioning=denoiser.preconditioning, data=data, training={"converted from": source})
