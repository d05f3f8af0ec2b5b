"""DDIM inversion: from an image to the noise that DDIM makes it from.

    x' = x + (sigma' - sigma) (y - D(y; sigma')) / sigma',    y = x sqrt((1 + sigma'^2) / (1 + sigma^2))

DDIM's step towards more noise. Where it starts, at sigma = 0, the ODE's slope is 0/0, so the network is asked at the
level that the step goes to, about x brought to the scale that unit-variance data has there. Song et al. 2021
(https://arxiv.org/abs/2010.02502), section 4.3 and equation (13) read upwards; diffusers' DDIMInverseScheduler.

    noise = sample(denoise, images, karras(50).flip(0), DDIMInversion())
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from samplers.sampler import Denoise, Noise, Sampler

__all__ = ["DDIMInversion"]


@dataclass(frozen=True, kw_only=True)
class DDIMInversion(Sampler[None]):
    """First order, one network call a step, up a grid of rising noise levels."""

    order: ClassVar[int] = 1
    nfe: ClassVar[int] = 1
    ascends: ClassVar[bool] = True

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: None, noise: Noise
    ) -> tuple[Tensor, None]:
        """Add the noise that the network sees in x at sigma'."""
        y = x * math.sqrt((1 + sigma_next**2) / (1 + sigma**2))
        epsilon = (y - denoise(y, sigma_next)) / sigma_next
        return x + (sigma_next - sigma) * epsilon, None
