"""Inpainting: the network is told what is left of a picture, and where nothing is (Rombach et al. 2022, section 4.5).

    y = ((1 - m) x, m),    m = 1 inside some rectangles, which are to be painted

https://arxiv.org/abs/2112.10752
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unetdiff.conditioning.concat.concat import Concat
from unetdiff.model_info import ConcatInfo
from unetdiff.plain import require

__all__ = ["Inpainting"]


@dataclass(frozen=True, kw_only=True)
class Inpainting(Concat):
    """Learn images from what one to `rectangles` holes leave of them.

    `size`: the shortest and the longest edge of a hole, as shares of the image's.
    """

    rectangles: int = 1
    size: tuple[float, float] = (0.25, 0.75)

    takes_mask = True

    def __post_init__(self) -> None:
        require(self.rectangles >= 1, "concat.rectangles", "a positive number", self.rectangles)
        low, high = self.size
        require(0 < low <= high <= 1, "concat.size", "two shares in (0, 1], the smaller one first", self.size)

    @property
    def info(self) -> ConcatInfo:
        """The holes of training bind nobody in sampling."""
        return ConcatInfo(kind="inpainting")

    def channels(self, image_channels: int) -> int:
        """The picture and the mask."""
        return image_channels + 1

    def given_size(self, height: int, width: int) -> tuple[int, int]:
        """That of the image."""
        return height, width

    def degraded(self, images: Tensor, draws: Sequence[np.random.Generator]) -> Tensor:
        """Each image with holes of its own."""
        return _with_holes(images, torch.stack([self._mask(draw, *images.shape[2:]) for draw in draws]))

    def told(self, pictures: Tensor, mask: Tensor | None) -> Tensor:
        """All pictures with the same holes: the network knows no half-painted pixels."""
        assert mask is not None
        return _with_holes(pictures, (mask > 0.5).to(pictures).expand(len(pictures), -1, -1, -1))

    def _mask(self, draw: np.random.Generator, height: int, width: int) -> Tensor:
        """(1, height, width)."""
        mask = np.zeros((1, height, width), np.float32)
        for _ in range(draw.integers(1, self.rectangles, endpoint=True)):
            rows, columns = (self._extent(draw, edge) for edge in (height, width))
            mask[:, rows, columns] = 1
        return torch.from_numpy(mask)

    def _extent(self, draw: np.random.Generator, edge: int) -> slice:
        """Where a hole lies along an edge: its length uniform in `size`, its place among all inside."""
        length = max(1, round(edge * draw.uniform(*self.size)))
        start = int(draw.integers(edge - length, endpoint=True))
        return slice(start, start + length)


def _with_holes(images: Tensor, masks: Tensor) -> Tensor:
    return torch.cat([(1 - masks) * images, masks], dim=1)
