"""DDPM's ancestral sampling: each step draws from p(x' | x), with D in place of x0.

    x' = D + (sigma'^2 / sigma^2) (x - D) + sqrt(v) z
    v  = sigma'^2 (1 - sigma'^2 / sigma^2)                              "posterior": of q(x' | x, x0)
    v  = (1 + sigma'^2) (sigma^2 - sigma'^2) / (1 + sigma^2)            "beta": of q(x | x')

Ho et al. 2020 (https://arxiv.org/abs/2006.11239), equations (6) and (7) and section 3.2, carried from
sqrt(abar) x0 + sqrt(1 - abar) eps to x0 + sigma eps by sigma^2 = (1 - abar) / abar.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from samplers.sampler import Denoise, Noise, Sampler

__all__ = ["DDPM", "Variance", "posterior_variance"]

Variance = Literal["posterior", "beta"]


@dataclass(frozen=True, kw_only=True)
class DDPM(Sampler[None]):
    """First order, stochastic; the variance is right for a delta ("posterior") or for unit-variance data ("beta")."""

    variance: Variance = "posterior"

    order: ClassVar[int] = 1
    nfe: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.variance not in get_args(Variance):
            raise ValueError(f"variance: expected one of {get_args(Variance)}, got {self.variance!r}")

    @property
    def stochastic(self) -> bool:
        """Always."""
        return True

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: None, noise: Noise
    ) -> tuple[Tensor, None]:
        """Draw x' from p(x' | x)."""
        D = denoise(x, sigma)
        if sigma_next == 0:
            return D, None
        v = posterior_variance(sigma, sigma_next) if self.variance == "posterior" else _beta(sigma, sigma_next)
        return D + (sigma_next / sigma) ** 2 * (x - D) + math.sqrt(v) * noise(), None


def posterior_variance(sigma: float, sigma_next: float) -> float:
    """Variance of x' given x and x0, per element."""
    return sigma_next**2 * (1 - (sigma_next / sigma) ** 2)


def _beta(sigma: float, sigma_next: float) -> float:
    return (1 + sigma_next**2) * (sigma**2 - sigma_next**2) / (1 + sigma**2)
