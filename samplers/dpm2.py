"""DPM-Solver-2: the midpoint method with its midpoint in log sigma, in EDM's coordinates.

    s  = sqrt(sigma sigma')                     noise level half-way
    u  = D + (s / sigma) (x - D)                Euler's step to it
    d  = (u - D(u; s)) / s                      slope there
    x' = x + (sigma' - sigma) d

Lu et al. 2022 (https://arxiv.org/abs/2206.00927), algorithm 1, on dx/dsigma = (x - D) / sigma as k-diffusion writes it
(https://github.com/crowsonkb/k-diffusion, sample_dpm_2). The ancestral form steps to sigma_down and adds noise.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from samplers.ancestral import Ancestral, ancestral_levels, renoised
from samplers.sampler import Denoise, Noise, Sampler

__all__ = ["DPM2", "DPM2Ancestral"]


@dataclass(frozen=True, kw_only=True)
class DPM2(Sampler[None]):
    """Second order, two network calls a step; Euler's on the step to sigma 0."""

    order: ClassVar[int] = 2
    nfe: ClassVar[int] = 2

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: None, noise: Noise
    ) -> tuple[Tensor, None]:
        """Move along the slope of the midpoint."""
        return _midpoint(denoise, x, sigma, sigma_next), None


@dataclass(frozen=True, kw_only=True)
class DPM2Ancestral(Ancestral[None]):
    """DPM2 to sigma_down, then noise; eta 0 is DPM2."""

    order: ClassVar[int] = 2
    nfe: ClassVar[int] = 2

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: None, noise: Noise
    ) -> tuple[Tensor, None]:
        """Go to sigma_down along the slope of the midpoint, up again with noise."""
        sigma_down, sigma_up = ancestral_levels(sigma, sigma_next, self.eta)
        return renoised(_midpoint(denoise, x, sigma, sigma_down), sigma_up, noise), None


def _midpoint(denoise: Denoise, x: Tensor, sigma: float, sigma_next: float) -> Tensor:
    D = denoise(x, sigma)
    if sigma_next == 0:
        return D
    s = math.sqrt(sigma * sigma_next)
    u = D + s / sigma * (x - D)
    d = (u - denoise(u, s)) / s
    return x + (sigma_next - sigma) * d
