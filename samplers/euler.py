"""Euler's method on the probability-flow ODE.

dx/dsigma = (x - D(x; sigma)) / sigma, Karras et al. 2022 (https://arxiv.org/abs/2206.00364), equations (1)
and (3) with sigma(t) = t. A step along this slope ends on the line from D to x:  x' = D + (sigma' / sigma) (x - D).
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from samplers.sampler import Denoise, Noise, Sampler

__all__ = ["Euler"]


@dataclass(frozen=True, kw_only=True)
class Euler(Sampler[None]):
    """First order, one network call a step."""

    order: ClassVar[int] = 1
    nfe: ClassVar[int] = 1

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: None, noise: Noise
    ) -> tuple[Tensor, None]:
        """Move x towards D by the share of the noise that goes."""
        D = denoise(x, sigma)
        return D + sigma_next / sigma * (x - D), None
