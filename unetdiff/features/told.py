"""What a network is told of an image while its features are read: nothing, the image's class, or its caption.

Nothing is what stood for no condition in training, the null class among it. A network that was trained without dropout
of its condition has never seen that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetdiff.data import PackedDataset
from unetdiff.denoiser import Condition
from unetdiff.errors import InputError
from unetdiff.features.settings import ConditionKind
from unetdiff.nn.class_embedding import NULL_CLASS
from unetdiff.text import Framing, TextEncoder
from unetdiff.text.encoder import TextCondition
from unetdiff.unet import UNet

__all__ = ["Captions", "Classes", "Nothing", "Told", "told"]


class Told(Protocol):
    """The condition of some images, by their rows in the data."""

    def __call__(self, rows: NDArray[np.int64]) -> Condition:
        """A row for each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Nothing:
    """No class, a vector of zeros, no text."""

    unet: UNet
    text: TextCondition | None = None

    def __post_init__(self) -> None:
        config = self.unet.config
        if config.concat_channels:
            raise InputError("model: expected one of images alone, got one that is told a picture")
        if config.class_projection is not None:
            raise InputError(f"model: expected one of classes, got one whose labels pass {config.class_projection}")
        if config.cross_attention_dim is not None and self.text is None:
            raise InputError("model: expected one with a text encoder, as it attends to texts, got none")

    @classmethod
    def of(cls, unet: UNet, encoder: TextEncoder | None, framing: Framing) -> "Nothing":
        """With what a text encoder says of no text."""
        return cls(unet=unet, text=None if encoder is None else encoder.unconditional(framing))

    def __call__(self, rows: NDArray[np.int64]) -> Condition:
        """The same for every image."""
        count, config, device = len(rows), self.unet.config, self.unet.device
        condition: Condition = {}
        if config.num_classes is not None:
            condition["class_labels"] = torch.full((count,), NULL_CLASS, device=device)
        if config.vector_channels is not None and config.vector_time_channels is None:
            condition["vector"] = torch.zeros(count, config.vector_channels, device=device)
        if self.text is not None:
            condition.update(cast(Condition, _repeated(cast("Mapping[str, object]", self.text), count)))
        return condition


@dataclass(frozen=True, kw_only=True, eq=False)
class Classes:
    """The class of each image, and nothing else."""

    nothing: Nothing
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        count, last = self.nothing.unet.config.num_classes, int(self.labels.max())
        if count is None or last >= count:
            raise InputError(
                f"condition: a model of at least {last + 1} classes expected, got one of {count or 'none'}"
            )

    def __call__(self, rows: NDArray[np.int64]) -> Condition:
        """Of these images."""
        labels = torch.from_numpy(self.labels[rows]).to(self.nothing.unet.device)
        return {**self.nothing(rows), "class_labels": labels}


@dataclass(frozen=True, kw_only=True, eq=False)
class Captions:
    """The caption of each image, and nothing else; one that is too long is cut."""

    nothing: Nothing
    encoder: TextEncoder
    captions: Sequence[str]
    framing: Framing

    def __call__(self, rows: NDArray[np.int64]) -> Condition:
        """Of these images."""
        texts = self.encoder.encode([self.captions[row] for row in rows], self.framing, truncate=True)
        return {**self.nothing(rows), **cast(Condition, texts)}


def told(
    kind: ConditionKind, nothing: Nothing, data: PackedDataset, encoder: TextEncoder | None, framing: Framing
) -> Told:
    """What `kind` says, of these images.

    Raises:
        InputError: labels or captions that the images have not, or a network that cannot be told them.
    """
    if kind == "class":
        if data.labels is None:
            raise InputError("condition: images with labels expected, got some without")
        return Classes(nothing=nothing, labels=data.labels)
    if kind == "text":
        if data.captions is None:
            raise InputError("condition: images with captions expected, got some without")
        if encoder is None:
            raise InputError("condition: a model of texts expected, got one without a text encoder")
        return Captions(nothing=nothing, encoder=encoder, captions=data.captions, framing=framing)
    return nothing


def _repeated(row: Mapping[str, object], count: int) -> dict[str, object]:
    """A condition of one row, for `count` images."""
    return {
        name: value.expand(count, *value.shape[1:])
        if isinstance(value, Tensor)
        else _repeated(cast("Mapping[str, object]", value), count)
        for name, value in row.items()
    }
