"""DPM-Solver++(2S), single step: D at the midpoint in log sigma stands for D over the whole step.

    u  = D + (s / sigma) (x - D),    s = sqrt(sigma sigma')
    x' = D_u + (sigma' / sigma) (x - D_u),    D_u = D(u; s)

Lu et al. 2022 (https://arxiv.org/abs/2211.01095), algorithm 1 with r = 1/2. Two ways to add noise, both of k-diffusion
(https://github.com/crowsonkb/k-diffusion): sample_dpmpp_2s_ancestral and sample_dpmpp_sde.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from samplers.ancestral import Ancestral, ancestral_levels, renoised
from samplers.sampler import Denoise, Noise

__all__ = ["DPMSolverPP2SAncestral", "DPMSolverPPSDE"]


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP2SAncestral(Ancestral[None]):
    """2S to sigma_down, then noise; two network calls a step. eta 0 is DPM-Solver++(2S)."""

    order: ClassVar[int] = 2
    nfe: ClassVar[int] = 2

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: None, noise: Noise
    ) -> tuple[Tensor, None]:
        """Take 2S to sigma_down, its midpoint free of noise."""
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D, None
        sigma_down, sigma_up = ancestral_levels(sigma, sigma_next, self.eta)
        s = math.sqrt(sigma * sigma_down)
        D_u = denoise(_towards(D, x, s / sigma), s)
        return renoised(_towards(D_u, x, sigma_down / sigma), sigma_up, noise), None


@dataclass(frozen=True, kw_only=True)
class DPMSolverPPSDE(Ancestral[None]):
    """2S with an ancestral step to the midpoint and another over the whole; each draws. eta 0 is DPM-Solver++(2S).

    The draws are independent; k-diffusion's default source correlates them along one Brownian path.
    """

    nfe: ClassVar[int] = 2

    @property
    def order(self) -> int:
        """The noise of the midpoint, which the step then forgets, costs an order."""
        return 1 if self.stochastic else 2

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: None, noise: Noise
    ) -> tuple[Tensor, None]:
        """Predict at a noisy midpoint, then draw x' with that prediction."""
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D, None
        s = math.sqrt(sigma * sigma_next)
        u = self._ancestral(D, x, sigma, s, noise)
        return self._ancestral(denoise(u, s), x, sigma, sigma_next, noise), None

    def _ancestral(self, denoised: Tensor, x: Tensor, sigma: float, sigma_next: float, noise: Noise) -> Tensor:
        sigma_down, sigma_up = ancestral_levels(sigma, sigma_next, self.eta)
        return renoised(_towards(denoised, x, sigma_down / sigma), sigma_up, noise)


def _towards(denoised: Tensor, x: Tensor, share: float) -> Tensor:
    """Keep this share of the noise in x."""
    return denoised + share * (x - denoised)
