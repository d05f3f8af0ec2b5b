"""What a stream asks of the conditions that it hands over beside each image: keywords of a denoiser, row by row."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unetdiff.data.keyed import Purpose

__all__ = ["PictureCondition", "RowCondition"]


class RowCondition(Protocol):
    """What the dataset knows of each image: its class, its caption, its vector."""

    def take(self, rows: NDArray[np.int64], dropped: NDArray[np.bool_]) -> Mapping[str, Tensor]:
        """Keywords for some rows of the dataset; the null condition, which guidance leads away from, where dropped."""


class PictureCondition(Protocol):
    """What is made of the picture itself, with random numbers for `purpose`."""

    purpose: Purpose

    def make(self, images: Tensor, draws: Sequence[np.random.Generator]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The images (B,C,H,W) to learn, maybe changed, and keywords; a generator for each image."""
