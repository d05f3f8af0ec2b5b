"""Geometric augmentation that does not leak (Karras et al. 2022, appendix F.2 and table 6).

Each of six transformations is made with probability p, in this order, and the network is told by how much:

    mirror x, mirror y         a_0, a_1 in {0, 1}
    scale                      2^(0.2 a_2),                          a_2 ~ N(0, 1)
    rotate                     by a_3 ~ U(-pi, pi);                  told cos(a_3) - 1, sin(a_3)
    stretch along a_4          2^(0.2 a_5), across it the inverse,   a_4 ~ U(-pi, pi), a_5 ~ N(0, 1);
                                                                     told a_5 cos(a_4), a_5 sin(a_4)
    translate                  by 0.125 (a_6, a_7) image sizes,      a_6, a_7 ~ N(0, 1)

All nine labels are zero where nothing was done, which is what the network is told in sampling. Mirroring is exact; the
rest is one bicubic resampling (exact for whole pixels and quarter turns) of the image continued by reflection, where
EDM oversamples with a wavelet filter. https://arxiv.org/abs/2206.00364
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from unetdiff.data.keyed import Purpose
from unetdiff.plain import require

__all__ = ["LABELS", "Augmentation", "resampled"]

LABELS = 9
OCTAVES = 0.2
SHARE = 0.125

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Transform each image at random; `p` is the probability of each transformation (EDM: 0.12 to 0.15)."""

    p: float = 0.12

    purpose = Purpose.AUGMENTATION

    def __post_init__(self) -> None:
        require(0 <= self.p <= 1, "augment.p", "a probability", self.p)

    def make(self, images: Tensor, draws: Sequence[np.random.Generator]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The transformed images, and `augment_labels` (B, 9)."""
        drawn = [self._draw(generator) for generator in draws]
        changed = [_transformed(image, a) for image, a in zip(images, drawn, strict=True)]
        return torch.stack(changed), {"augment_labels": torch.stack([_labels(a) for a in drawn])}

    def _draw(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """a_0 to a_7; as many numbers are drawn whatever is done."""
        done = (generator.random(6) < self.p)[[0, 1, 2, 3, 4, 4, 5, 5]]
        mirrors, angles, normal = generator.integers(2, size=2), generator.uniform(-1, 1, 2), generator.normal(size=4)
        rotation, direction = math.pi * angles
        return np.where(done, [*mirrors, normal[0], rotation, direction, *normal[1:]], 0.0)


def resampled(image: Tensor, inverse: Matrix) -> Tensor:
    """(C, H, W) whose pixel at p, counted from the centre, is that of `image` at `inverse` p, inverse (2, 3)."""
    height, width = image.shape[1:]
    to_pixels, to_unit = np.diag([width / 2, height / 2, 1]), np.diag([2 / width, 2 / height])
    theta = torch.from_numpy(to_unit @ inverse @ to_pixels)[None]
    grid = F.affine_grid(theta, [1, *image.shape], align_corners=False)
    source = image[None].double()
    result = F.grid_sample(source, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return result[0].to(image.dtype)


def _transformed(image: Tensor, a: NDArray[np.float64]) -> Tensor:
    mirrored = image.flip([dim for dim, mirror in ((2, a[0]), (1, a[1])) if mirror])
    if not a[2:].any():
        return mirrored
    return resampled(mirrored, _inverse(a, *image.shape[1:]))


def _inverse(a: NDArray[np.float64], height: int, width: int) -> Matrix:
    """From the place of a pixel after all transformations to that before: the inverses in the order of the paper."""
    shrink, stretch = 2 ** (-OCTAVES * a[2]), 2 ** (-OCTAVES * a[5])
    linear = (shrink * np.eye(2)) @ _rotation(-a[3])
    linear = linear @ _rotation(a[4]) @ np.diag([stretch, 1 / stretch]) @ _rotation(-a[4])
    shift = -SHARE * np.array([a[6] * width, a[7] * height])
    return np.column_stack([linear, linear @ shift])


def _rotation(angle: float) -> Matrix:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _labels(a: NDArray[np.float64]) -> Tensor:
    turned, stretched = (math.cos(a[3]) - 1, math.sin(a[3])), (a[5] * math.cos(a[4]), a[5] * math.sin(a[4]))
    return torch.tensor([a[0], a[1], a[2], *turned, *stretched, a[6], a[7]], dtype=torch.float32)
