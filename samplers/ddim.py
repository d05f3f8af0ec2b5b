"""DDIM: the family from the deterministic step (eta = 0) to DDPM's (eta = 1).

    x' = D + (sigma_down / sigma) (x - D) + sigma_up z,    sigma_up = eta * DDPM's posterior standard deviation

Song et al. 2021 (https://arxiv.org/abs/2010.02502), equations (12) and (16), in sigma = sqrt((1 - abar) / abar).
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from samplers.ancestral import Ancestral, ancestral_levels, renoised
from samplers.sampler import Denoise, Noise

__all__ = ["DDIM", "EulerAncestral"]


@dataclass(frozen=True, kw_only=True)
class DDIM(Ancestral[None]):
    """First order; eta is the share of DDPM's noise in standard deviation."""

    eta: float = 0.0

    order: ClassVar[int] = 1
    nfe: ClassVar[int] = 1

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: None, noise: Noise
    ) -> tuple[Tensor, None]:
        """Keep sigma_down of the noise in x, draw sigma_up anew."""
        D = denoise(x, sigma)
        sigma_down, sigma_up = ancestral_levels(sigma, sigma_next, self.eta)
        return renoised(D + sigma_down / sigma * (x - D), sigma_up, noise), None


@dataclass(frozen=True, kw_only=True)
class EulerAncestral(DDIM):
    """DDIM under the name, and with the eta, that k-diffusion made known."""

    eta: float = 1.0
