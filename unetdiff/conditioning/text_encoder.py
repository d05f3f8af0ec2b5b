"""The text encoder of a run and of its model folder, which records its hash: another one would give other tokens."""

from dataclasses import dataclass
from functools import lru_cache

import torch

from unetdiff.errors import InputError
from unetdiff.model_info import TextInfo
from unetdiff.plain import require
from unetdiff.text import TextEncoder
from unetdiff.text.source import find_encoder

__all__ = ["TextConfig", "load_encoder", "text_info"]


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Learn captions by cross-attention.

    Attributes:
        encoder: A text encoder of transformers: its folder, or its repository on the hub. Or the folder of a
            pipeline of Stable Diffusion 1 or 2, whose encoder is then asked as the pipeline does.
        context: Number of tokens that the network sees; longer captions are cut, and counted. Null: those that the
            pipeline reads, 32 of other encoders.
    """

    encoder: str
    context: int | None = None

    def __post_init__(self) -> None:
        require(self.context is None or self.context >= 1, "text.context", "a positive number or null", self.context)


@lru_cache  # the weights are read whole
def text_info(config: TextConfig) -> TextInfo:
    """What a model folder says of the encoder."""
    found = find_encoder(config.encoder, config.context)
    return TextInfo(encoder=config.encoder, context=found.context, sha256=found.sha256)


def load_encoder(info: TextInfo, place: str | None = None, device: torch.device | str = "cpu") -> TextEncoder:
    """The encoder that `info` describes.

    Args:
        info: of the model folder.
        place: folder or repository where it lies now; without it where it was in training.
        device: where it runs.

    Raises:
        InputError: not there, or another one.
    """
    source = info.encoder if place is None else place
    found = find_encoder(source, info.context)
    if found.sha256 != info.sha256:
        expected = f"the files that the model was trained with (sha256 {info.sha256[:12]}...)"
        raise InputError(f"text encoder {source}: {expected} expected, got others ({found.sha256[:12]}...)")
    return found.load(device)
