"""Adams-Bashforth: the slope is a polynomial in sigma through its values at the last steps.

    x' = x + (sigma' - sigma) d_0 + sum_{j>0} c_j (d_j - d_0),    d_j = (x_j - D_j) / sigma_j

LMS integrates that polynomial on the grid as it is: c_j is the integral of its Lagrange polynomial l_j from sigma to
sigma'. iPNDM has the coefficients of equal steps on every grid. Liu et al. 2022 (https://arxiv.org/abs/2202.09778),
equation (9), without its Runge-Kutta start as in Zhang & Chen 2023 (https://arxiv.org/abs/2204.13902); LMS is
k-diffusion's (https://github.com/crowsonkb/k-diffusion).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from samplers.checks import check_order
from samplers.history import History, remember
from samplers.sampler import Denoise, Noise, Sampler

__all__ = ["IPNDM", "LMS"]

EQUAL_STEPS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


@dataclass(frozen=True, kw_only=True)
class LMS(Sampler[History]):
    """Linear multistep, order 1 to 4, one network call a step; the first steps have the order of their history."""

    order: int = 4

    nfe: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_order(self.order, highest=4)

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: History | None, noise: Noise
    ) -> tuple[Tensor, History]:
        """Integrate the polynomial through the last slopes."""
        D = denoise(x, sigma)
        history = remember(state, sigma, (x - D) / sigma, self.order)
        weights = _integrals([level for level, _ in history], sigma, sigma_next)
        return _bent(D + sigma_next / sigma * (x - D), history, weights), history


@dataclass(frozen=True, kw_only=True)
class IPNDM(Sampler[History]):
    """Order 1 to 4 on equal steps in sigma, 2 at most on others; one network call a step."""

    order: int = 4

    nfe: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_order(self.order, highest=4)

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: History | None, noise: Noise
    ) -> tuple[Tensor, History]:
        """Extrapolate the last slopes as if they were equally spaced."""
        D = denoise(x, sigma)
        history = remember(state, sigma, (x - D) / sigma, self.order)
        weights = [(sigma_next - sigma) * coefficient for coefficient in EQUAL_STEPS[len(history) - 1]]
        return _bent(D + sigma_next / sigma * (x - D), history, weights), history


def _bent(x_next: Tensor, history: History, weights: list[float]) -> Tensor:
    """Bend Euler's step by what earlier slopes differ from the last; weights of all slopes sum to sigma' - sigma."""
    (_, d), *earlier = history
    for weight, (_, d_j) in zip(weights[1:], earlier, strict=True):
        x_next = x_next + weight * (d_j - d)
    return x_next


def _integrals(levels: list[float], sigma: float, sigma_next: float) -> list[float]:
    """Integrate each Lagrange polynomial on `levels` by Gauss's rule with two nodes: exact up to cubics."""
    middle, half = (sigma + sigma_next) / 2, (sigma_next - sigma) / 2
    nodes = (middle - half / math.sqrt(3), middle + half / math.sqrt(3))

    def lagrange(j: int, node: float) -> float:
        others = levels[:j] + levels[j + 1 :]
        return math.prod((node - level) / (levels[j] - level) for level in others)

    return [half * sum(lagrange(j, node) for node in nodes) for j in range(len(levels))]
