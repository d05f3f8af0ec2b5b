"""What all concatenated pictures have in common: the network learns p(x | y) from y = degraded(x), made on the spot.

Saharia et al. 2021 (SR3), https://arxiv.org/abs/2104.07636; Saharia et al. 2022 (Palette),
https://arxiv.org/abs/2111.05826
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from torch import Tensor

from unetdiff.data.keyed import Purpose
from unetdiff.model_info import ConcatInfo

__all__ = ["Concat"]


class Concat(ABC):
    """A task: what a picture is made into in training (`degraded`), and what is given in sampling (`told`)."""

    purpose = Purpose.CONCAT
    takes_mask: ClassVar[bool] = False

    @property
    @abstractmethod
    def info(self) -> ConcatInfo:
        """What a model folder says of it."""

    @abstractmethod
    def channels(self, image_channels: int) -> int:
        """How many are concatenated, for images of so many."""

    @abstractmethod
    def given_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the pictures that `told` takes.

        Raises:
            ValueError: images of this size cannot be degraded.
        """

    @abstractmethod
    def degraded(self, images: Tensor, draws: Sequence[np.random.Generator]) -> Tensor:
        """What is told of images (B, C, H, W) that are known whole: (B, channels, H, W)."""

    @abstractmethod
    def told(self, pictures: Tensor, mask: Tensor | None) -> Tensor:
        """The same, of pictures (B, C, *given_size); with `takes_mask` a mask (1, H, W) is over 1/2 where to paint."""

    def make(self, images: Tensor, draws: Sequence[np.random.Generator]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The images as they are, and `concat`."""
        return images, {"concat": self.degraded(images, draws)}
