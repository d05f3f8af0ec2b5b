"""Multistep consistency sampling: jump to the image, add noise of the next level, jump again.

    x' = D(x; sigma) + sqrt(sigma'^2 - epsilon^2) z

for a denoiser that was trained or distilled to be consistent: D(x; sigma) is the end, at noise level epsilon, of the
ODE's path through x. A grid of one step is one-step generation. Other grids should end above epsilon, where D is the
identity and a call is lost: karras(2, sigma_min=0.8), say. Song et al. 2023 (https://arxiv.org/abs/2303.01469),
algorithm 1.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from samplers.ancestral import renoised
from samplers.sampler import Denoise, Noise, Sampler

__all__ = ["Consistency"]


@dataclass(frozen=True, kw_only=True)
class Consistency(Sampler[None]):
    """Exact at any number of steps where the denoiser is consistent; converges to nothing where it is a mean."""

    epsilon: float = 0.002

    order: ClassVar[int] = 0
    nfe: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.epsilon >= 0:
            raise ValueError(f"epsilon: expected a number >= 0, got {self.epsilon}")

    @property
    def stochastic(self) -> bool:
        """Always, on more than one step."""
        return True

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: None, noise: Noise
    ) -> tuple[Tensor, None]:
        """Jump to the image and back to sigma'."""
        std = math.sqrt(max(sigma_next**2 - self.epsilon**2, 0))
        return renoised(denoise(x, sigma), std, noise), None
