"""Super-resolution: the network is told a small picture, enlarged (Saharia et al. 2021, SR3, section 2).

    y = bicubic enlargement of a(x),    a: means over squares of `factor` x `factor` pixels

https://arxiv.org/abs/2104.07636
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from unetdiff.conditioning.concat.concat import Concat
from unetdiff.model_info import ConcatInfo
from unetdiff.plain import require

__all__ = ["SuperResolution"]


@dataclass(frozen=True, kw_only=True)
class SuperResolution(Concat):
    """Learn images from pictures whose edges are `factor` times shorter."""

    factor: int = 4

    def __post_init__(self) -> None:
        require(self.factor >= 2, "concat.factor", "2 or more", self.factor)

    @property
    def info(self) -> ConcatInfo:
        """With the factor."""
        return ConcatInfo(kind="super_resolution", factor=self.factor)

    def channels(self, image_channels: int) -> int:
        """As many as the image has."""
        return image_channels

    def given_size(self, height: int, width: int) -> tuple[int, int]:
        """That of the small picture."""
        divides = height % self.factor == 0 and width % self.factor == 0
        require(divides, "concat.factor", f"a divisor of the image size {height}x{width}", self.factor)
        return height // self.factor, width // self.factor

    def degraded(self, images: Tensor, draws: Sequence[np.random.Generator]) -> Tensor:
        """Nothing is drawn."""
        return self.told(F.avg_pool2d(images, self.factor), None)

    def told(self, pictures: Tensor, mask: Tensor | None) -> Tensor:
        """Small pictures, enlarged."""
        return F.interpolate(pictures, scale_factor=self.factor, mode="bicubic")
