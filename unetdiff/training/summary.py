"""Where a network meets its data: whether they fit, and what the model folder tells about the training."""

from pathlib import Path

from unetdiff.conditioning.augmentation import LABELS
from unetdiff.conditioning.text_encoder import text_info
from unetdiff.data import PackedDataset
from unetdiff.errors import InputError, user_input
from unetdiff.latent_images import codec_info
from unetdiff.model_folder import DataInfo, ModelInfo
from unetdiff.text.source import find_encoder
from unetdiff.training.config import TrainConfig

__all__ = ["check_fit", "check_text", "model_info"]


def check_fit(config: TrainConfig, data: PackedDataset) -> None:
    """Raise InputError where `config.model` cannot take the images or the labels of `data`."""
    source, model = config.data.source, config.model
    _, channels, height, width = data.images.shape
    concat = _check_concat(config, channels, height, width)
    beside = f" and {concat} of concat" if concat else ""
    for name, wanted in (("in_channels", channels + concat), ("out_channels", channels)):
        expected = f"the {channels} of {source}{beside if wanted > channels else ''}"
        _require(getattr(model, name) == wanted, f"model.{name}", expected, getattr(model, name))
    size = model.image_size
    _require(size in (None, (height, width)), "model.sample_size", f"the {(height, width)} of {source}", size)
    if model.num_classes is not None:
        _require(data.labels is not None, "model.num_classes", f"null, as {source} has no labels", model.num_classes)
        last = -1 if data.labels is None else int(data.labels.max())
        _require(last < model.num_classes, "model.num_classes", f"labels 0 to {last} of {source}", model.num_classes)
    if model.vector_channels is not None:
        width = None if data.vectors is None else data.vectors.shape[1]
        _require(model.vector_channels == width, "model.vector_channels", f"{width} as {source}", model.vector_channels)
    told, labels = model.augment_channels, None if config.augment is None else LABELS
    _require(told == labels, "model.augment_channels", f"{labels} for augment {config.augment}", told)
    if config.text is not None:
        _require(data.captions is not None, "text", f"null, as {source} has no captions", config.text.encoder)


def _check_concat(config: TrainConfig, channels: int, height: int, width: int) -> int:
    """How many channels are concatenated; raise InputError where the network or the images do not suit that."""
    concat, told = 0, config.model.concat_channels
    if config.concat is not None:
        concat = config.concat.channels(channels)
        with user_input():
            config.concat.given_size(height, width)
    _require(told == concat, "model.concat_channels", f"{concat} for concat {config.concat}", told)
    return concat


def check_text(config: TrainConfig) -> None:
    """Raise InputError where the network and the text encoder do not belong together; no data are needed."""
    attends = config.model.cross_attention_dim
    if config.text is None:
        _require(attends is None, "text.encoder", "a text encoder, as model.cross_attention_dim says", None)
        return
    width = find_encoder(config.text.encoder, config.text.context).width
    _require(attends == width, "model.cross_attention_dim", f"{width}, the width of {config.text.encoder}", attends)


def model_info(config: TrainConfig, data: PackedDataset, step: int) -> ModelInfo:
    """The description of the model as it is after `step` steps."""
    _, channels, height, width = data.images.shape
    objective = config.objective
    return ModelInfo(
        preconditioning=objective.preconditioning,
        data=DataInfo(channels=channels, height=height, width=width, classes=data.classes),
        codec=None if config.latents is None else codec_info(config.latents.codec),
        text=None if config.text is None else text_info(config.text),
        concat=None if config.concat is None else config.concat.info,
        training={
            "data": config.data.source,
            "objective": repr(objective),
            "optimiser steps": step,
            "images": step * config.batch_size,
            "batch size": config.batch_size,
            "optimiser": config.optimizer.kind,
            "learning rate": config.optimizer.lr,
            "average": repr(config.ema),
            "condition dropout": config.condition_dropout,
            "seed": config.seed,
            **_origins(config),
        },
    )


def _origins(config: TrainConfig) -> dict[str, str]:
    """What there was of other networks and of parts of this one; their places stay untold."""
    text, codec = config.text and text_info(config.text), config.latents and codec_info(config.latents.codec)
    facts = {
        "text encoder": text and f"{Path(text.encoder).name}, {text.context} tokens, sha256 {text.sha256[:12]}",
        "autoencoder": codec and f"sha256 {codec.sha256[:12]}",
        "started from": config.init and Path(config.init).name,
        "teacher": config.distill and f"{Path(config.distill.teacher).name}, {type(config.distill).__name__}",
        "adapters": config.lora and repr(config.lora),
        "frozen": ", ".join(config.freeze),
    }
    return {name: value for name, value in facts.items() if value}


def _require(condition: bool, field: str, expected: str, got: object) -> None:
    if not condition:
        raise InputError(f"{field}: expected {expected}, got {got}")
