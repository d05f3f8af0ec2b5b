"""DDIM: the family from the deterministic step (eta = 0) to DDPM's (eta = 1).

    x' = D + sqrt(sigma'^2 - v) (x - D) / sigma + sqrt(v) z,    v = eta^2 * DDPM's posterior variance

Song et al. 2021 (https://arxiv.org/abs/2010.02502), equations (12) and (16), in sigma = sqrt((1 - abar) / abar).
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from samplers.ddpm import posterior_variance
from samplers.sampler import Denoise, Noise, Sampler

__all__ = ["DDIM"]


@dataclass(frozen=True, kw_only=True)
class DDIM(Sampler[None]):
    """First order; eta is the share of DDPM's noise in standard deviation."""

    eta: float = 0.0

    order: ClassVar[int] = 1
    nfe: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta: expected a number in [0, 1], got {self.eta}")

    @property
    def stochastic(self) -> bool:
        """Unless eta is 0."""
        return self.eta > 0

    def step(
        self, denoise: Denoise, x: Tensor, sigma: Tensor, sigma_next: Tensor, state: None, noise: Noise
    ) -> tuple[Tensor, None]:
        """Keep sqrt(sigma'^2 - v) of the noise in x, draw sqrt(v) anew."""
        D = denoise(x, sigma)
        v = self.eta**2 * posterior_variance(sigma, sigma_next)
        x_next = D + (sigma_next**2 - v).sqrt() / sigma * (x - D)
        return (x_next + v.sqrt() * noise() if v > 0 else x_next), None
