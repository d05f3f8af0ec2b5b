"""The probability-flow ODE in N steps: their noise levels, and a step of DDIM between two of them.

    sigma_i = (sigma_min^(1/rho) + i / N (sigma_max^(1/rho) - sigma_min^(1/rho)))^rho,   i = 0, ..., N

(Karras et al. 2022, equation 5). Level i of N steps is level 2 i of 2 N steps: halving the steps keeps the levels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Levels", "ddim"]


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The levels of `steps` steps over `sigma_range`, in double precision."""

    steps: int
    rho: float
    sigma_range: tuple[float, float]

    def __call__(self, i: Tensor) -> Tensor:
        """sigma_i, for fractions too."""
        low, high = self._ends
        return torch.as_tensor((low + i.double() / self.steps * (high - low)) ** self.rho)

    def index(self, sigma: Tensor) -> Tensor:
        """Inverse on the levels themselves, whatever their rounding."""
        low, high = self._ends
        return (self.steps * (sigma.double() ** (1 / self.rho) - low) / (high - low)).round()

    def draw(self, u: Tensor) -> Tensor:
        """Quantile function of the uniform distribution over sigma_1, ..., sigma_N, in the precision of u."""
        return self((u * self.steps).floor().clamp(max=self.steps - 1) + 1).to(u.dtype)

    @property
    def _ends(self) -> tuple[float, float]:
        low, high = (sigma ** (1 / self.rho) for sigma in self.sigma_range)
        return low, high


def ddim(x: Tensor, denoised: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """x' = D + sigma' / sigma (x - D): Euler's method, which in these coordinates is DDIM (Song et al. 2021).

    x and the `denoised` D are (N, C, H, W), the noise levels (N,).
    """
    ratio = (sigma_next / sigma).to(x.dtype).reshape(-1, 1, 1, 1)
    return denoised + ratio * (x - denoised)
