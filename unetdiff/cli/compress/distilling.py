"""The distillation as a command line of `unetdiff distill`, so that its run folder is one like any other."""

import json
from pathlib import Path

from unetdiff.cli import distill
from unetdiff.cli.compress.options import Asked
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.features.network_images import framed
from unetdiff.model_folder import find_model
from unetdiff.plain import to_plain

__all__ = ["arguments", "distil"]

UNSEEN = {"preview.every": 0, "validation.every": 0}
"""What is measured on the way otherwise: here networks are compared at the end."""


def distil(asked: Asked, student: Path, out: Path) -> None:
    """Train to the end, or go on; exits with status 130 where a signal stops it."""
    parser = distill.parser()
    parser.exit_on_error = False
    distill.run(parser.parse_args(arguments(asked, student, out)))


def arguments(asked: Asked, student: Path, out: Path) -> list[str]:
    """The options: images, text encoder and autoencoder are those that the network was scored with."""
    model = asked.planning.load(str(student))
    values: dict[str, object] = {
        "teacher": str(find_model(asked.model)),
        "student": str(student),
        "out": str(out),
        "seed": asked.planning.config.seed,
        **asked.training.arguments(),
        **UNSEEN,
        **{f"distill.{name}": value for name, value in asked.distill.items()},
        **_data(asked, model),
        **_beside(asked, model),
    }
    return [f"--{name}={_written(value)}" for name, value in values.items() if value is not None]


def _data(asked: Asked, model: LoadedModel) -> dict[str, object]:
    data = framed(asked.planning.data, model.picture_size, model.picture_channels)
    names = ("source", "size", "channels", "layout", "cache")
    columns = {f"data.columns.{name}": value for name, value in to_plain(data.columns).items()}
    return {**{f"data.{name}": getattr(data, name) for name in names}, **columns}


def _beside(asked: Asked, model: LoadedModel) -> dict[str, object]:
    """What the network reads and speaks, from where it is now."""
    text, codec, scoring = model.info.text, model.info.codec, asked.planning.scoring
    return {
        "text": text and {"encoder": scoring.text_encoder or text.encoder, "context": text.context},
        "latents": codec and {"codec": scoring.codec or codec.codec},
    }


def _written(value: object) -> str:
    return str(value) if isinstance(value, (str, Path)) else json.dumps(value)
