"""Ancestral sampling: go down further than asked along the ODE, come back up with fresh noise.

    sigma_up^2   = eta^2 v,    v = sigma'^2 (1 - sigma'^2 / sigma^2)        DDPM's posterior variance
    sigma_down^2 = sigma'^2 - sigma_up^2 = (1 - eta^2) sigma'^2 + (eta sigma'^2 / sigma)^2

A step along the ODE to sigma_down and noise of standard deviation sigma_up land on the marginal distribution at sigma'.
Song et al. 2021 (https://arxiv.org/abs/2010.02502), equation (16); for steps other than Euler's k-diffusion
(https://github.com/crowsonkb/k-diffusion).
"""

import math
from dataclasses import dataclass

from torch import Tensor

from samplers.ddpm import posterior_variance
from samplers.sampler import Noise, Sampler, State

__all__ = ["Ancestral", "ancestral_levels", "renoised"]


@dataclass(frozen=True, kw_only=True)
class Ancestral(Sampler[State]):
    """A sampler with eta, the share of fresh noise: from 0, none, to 1."""

    eta: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta: expected a number in [0, 1], got {self.eta}")

    @property
    def stochastic(self) -> bool:
        """Unless eta is 0."""
        return self.eta > 0


def ancestral_levels(sigma: float, sigma_next: float, eta: float) -> tuple[float, float]:
    """Split a step into (sigma_down, sigma_up)."""
    sigma_down = math.sqrt((1 - eta**2) * sigma_next**2 + (eta * sigma_next**2 / sigma) ** 2)  # a sum: nothing cancels
    return sigma_down, eta * math.sqrt(posterior_variance(sigma, sigma_next))


def renoised(x: Tensor, std: float, noise: Noise) -> Tensor:
    """Add noise of standard deviation `std`; where that is 0, nothing is drawn."""
    return x + std * noise() if std > 0 else x
