"""Ancestral sampling: go down further than asked along the ODE, come back up with fresh noise.

    sigma_up^2   = eta^2 sigma'^2 (sigma^2 - sigma'^2) / sigma^2        DDPM's posterior variance times eta^2
    sigma_down^2 = sigma'^2 - sigma_up^2

A step along the ODE to sigma_down and noise of standard deviation sigma_up land on the marginal distribution at sigma'.
Song et al. 2021 (https://arxiv.org/abs/2010.02502), equation (16); for steps other than Euler's k-diffusion
(https://github.com/crowsonkb/k-diffusion).
"""

from torch import Tensor

from samplers.ddpm import posterior_variance
from samplers.sampler import Noise

__all__ = ["ancestral_levels", "renoised"]


def ancestral_levels(sigma: Tensor, sigma_next: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Split a step into (sigma_down, sigma_up)."""
    v = eta**2 * posterior_variance(sigma, sigma_next)
    return (sigma_next**2 - v).sqrt(), v.sqrt()


def renoised(x: Tensor, std: Tensor, noise: Noise) -> Tensor:
    """Add noise of standard deviation `std`; where that is 0, nothing is drawn."""
    return x + std * noise() if std > 0 else x
