"""DPM-Solver++, multistep: D is a polynomial in lambda = -log sigma, everything else is integrated exactly.

    x' = D + exp(-h) (x - D) + phi_2(h) D1 - phi_3(h) D2,    h = lambda' - lambda
    phi_2(h) = 1 - (1 - exp(-h)) / h,    phi_3(h) = phi_2(h) / h - 1/2

D1 and D2 come from divided differences of the last predictions: h D' and, in 3M, h^2 D'' / 2. The last ought to be
h^2 D''; the authors' code, diffusers and k-diffusion all have the half, so 3M is of second order in spite of its name,
and so it is here. Lu et al. 2022 (https://arxiv.org/abs/2211.01095), algorithm 2 for 2M, whose weight
(1 - exp(-h)) / 2 stands for phi_2.

The SDE of `dpm_solver_pp_sde` has the same mean with H = (1 + eta) h in place of h in exp, phi_2 and phi_3.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from samplers.history import History, remember
from samplers.sampler import Denoise, Noise, Sampler

__all__ = ["DPMSolverPP2M", "DPMSolverPP3M", "Solver", "second_order_mean", "third_order_mean"]

Solver = Literal["midpoint", "heun"]


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP2M(Sampler[History]):
    """Second order, one network call a step; the first step and the step to sigma 0 are Euler's."""

    order: ClassVar[int] = 2
    nfe: ClassVar[int] = 1

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: History | None, noise: Noise
    ) -> tuple[Tensor, History]:
        """Continue D along the line through its last two values."""
        history = remember(state, sigma, denoise(x, sigma), depth=2)
        return second_order_mean(x, sigma_next, history, solver="midpoint"), history


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP3M(Sampler[History]):
    """Second order from three predictions, one network call a step; Euler's on the first and the step to sigma 0."""

    order: ClassVar[int] = 2
    nfe: ClassVar[int] = 1

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: History | None, noise: Noise
    ) -> tuple[Tensor, History]:
        """Continue D along the parabola through its last three values."""
        history = remember(state, sigma, denoise(x, sigma), depth=3)
        return third_order_mean(x, sigma_next, history), history


def second_order_mean(x: Tensor, sigma_next: float, history: History, solver: Solver, eta: float = 0.0) -> Tensor:
    """Mean of x' with D linear in lambda; "midpoint" has 2M's weight, "heun" the exact phi_2."""
    (sigma, D), *earlier = history
    if sigma_next == 0:
        return D
    h = math.log(sigma / sigma_next)
    H = (1 + eta) * h
    x_next = D + math.exp(-H) * (x - D)
    if not earlier:
        return x_next
    sigma_1, D_1 = earlier[0]
    r = math.log(sigma_1 / sigma) / h
    weight = -math.expm1(-H) / 2 if solver == "midpoint" else _phi_2(H)
    return x_next + weight / r * (D - D_1)


def third_order_mean(x: Tensor, sigma_next: float, history: History, eta: float = 0.0) -> Tensor:
    """Mean of x' with D quadratic in lambda, or as far as the history reaches."""
    if len(history) < 3 or sigma_next == 0:
        return second_order_mean(x, sigma_next, history[:2], "heun", eta)
    (sigma, D), (sigma_1, D_1), (sigma_2, D_2) = history
    h = math.log(sigma / sigma_next)
    H = (1 + eta) * h
    r_0, r_1 = math.log(sigma_1 / sigma) / h, math.log(sigma_2 / sigma_1) / h
    D1_0, D1_1 = (D - D_1) / r_0, (D_1 - D_2) / r_1
    D2 = (D1_0 - D1_1) / (r_0 + r_1)
    D1 = D1_0 + r_0 * D2
    return D + math.exp(-H) * (x - D) + _phi_2(H) * D1 - _phi_3(H) * D2


def _phi_2(h: float) -> float:
    return 1 + math.expm1(-h) / h


def _phi_3(h: float) -> float:
    return _phi_2(h) / h - 0.5
