"""A frozen grid of images with their noise and of noise levels, on which denoisers are compared.

Image i has its noise, the same at every level and every time, so that numbers of two moments of a run, or of two
networks, differ by their weights alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from unetdiff.denoiser import Condition, Denoiser
from unetdiff.losses.denoising import denoising_loss
from unetdiff.losses.objective import Objective

__all__ = ["NoiseGrid"]


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseGrid:
    """A cell for each pair, counted level by level.

    Attributes:
        images: (N, C, H, W) in the network's range.
        noise: (N, C, H, W), standard normal.
        condition: Keywords of the denoiser, a row for each image.
        sigmas: (S,) noise levels.
    """

    images: Tensor
    noise: Tensor
    condition: Mapping[str, Tensor]
    sigmas: Tensor

    def __len__(self) -> int:
        return len(self.sigmas) * len(self.images)

    def losses(
        self, denoiser: Denoiser, objective: Objective, cells: Tensor, device: torch.device | str | None = None
    ) -> Tensor:
        """The objective's denoising loss in some cells, computed on `device`, else where the images are."""
        rows, levels = cells % len(self.images), cells // len(self.images)
        images, noise, sigma = (
            tensor.to(device or tensor.device) for tensor in (self.images[rows], self.noise[rows], self.sigmas[levels])
        )
        condition = {name: tensor[rows].to(images.device) for name, tensor in self.condition.items()}
        return denoising_loss(denoiser, objective, images, noise, sigma, **cast(Condition, condition))
