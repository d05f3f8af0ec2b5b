"""Heun's method on the probability-flow ODE: EDM's second-order sampler.

    d  = (x - D(x; sigma)) / sigma              slope here
    x' = x + (sigma' - sigma) d                 Euler's step
    d' = (x' - D(x'; sigma')) / sigma'          slope there
    x' = x + (sigma' - sigma) (d + d') / 2      with the mean of both

Karras et al. 2022 (https://arxiv.org/abs/2206.00364), algorithm 1; algorithm 2 is this with `Churn`.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from samplers.sampler import Denoise, Noise, Sampler

__all__ = ["Heun"]


@dataclass(frozen=True, kw_only=True)
class Heun(Sampler[None]):
    """Second order, two network calls a step; Euler's on the step to sigma 0, where no slope exists."""

    order: ClassVar[int] = 2
    nfe: ClassVar[int] = 2

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: None, noise: Noise
    ) -> tuple[Tensor, None]:
        """Take Euler's step, then take it again along the mean of the slopes at its two ends."""
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D, None
        d = (x - D) / sigma
        x_next = x + (sigma_next - sigma) * d
        d_next = (x_next - denoise(x_next, sigma_next)) / sigma_next
        return x + (sigma_next - sigma) * (d + d_next) / 2, None
