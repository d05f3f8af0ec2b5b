"""SDE-DPM-Solver++, multistep: the reverse SDE, with D a polynomial in lambda = -log sigma.

    x' = mean + sigma' sqrt(1 - exp(-2 eta h)) z,    h = lambda' - lambda

where the mean is DPM-Solver++'s with H = (1 + eta) h. eta scales the noise of the SDE: 0 is the ODE, 1 the reverse
SDE of the forward process. Lu et al. 2022 (https://arxiv.org/abs/2211.01095), SDE-DPM-Solver++(2M); eta and the third
order from k-diffusion (https://github.com/crowsonkb/k-diffusion).
"""

import math
from dataclasses import dataclass
from typing import ClassVar, get_args

from torch import Tensor

from samplers.ancestral import Ancestral, renoised
from samplers.dpm_solver_pp import Solver, second_order_mean, third_order_mean
from samplers.history import History, remember
from samplers.sampler import Denoise, Noise

__all__ = ["DPMSolverPP2MSDE", "DPMSolverPP3MSDE"]


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP2MSDE(Ancestral[History]):
    """2M with noise; eta 0 and "midpoint" is DPMSolverPP2M."""

    solver: Solver = "midpoint"
    order: ClassVar[int] = 2
    nfe: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.solver not in get_args(Solver):
            raise ValueError(f"solver: expected one of {get_args(Solver)}, got {self.solver!r}")
        super().__post_init__()

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: History | None, noise: Noise
    ) -> tuple[Tensor, History]:
        """Draw x' around the mean of the second order."""
        history = remember(state, sigma, denoise(x, sigma), depth=2)
        mean = second_order_mean(x, sigma_next, history, self.solver, self.eta)
        return renoised(mean, _std(sigma, sigma_next, self.eta), noise), history


@dataclass(frozen=True, kw_only=True)
class DPMSolverPP3MSDE(Ancestral[History]):
    """3M with noise; eta 0 is DPMSolverPP3M."""

    order: ClassVar[int] = 2
    nfe: ClassVar[int] = 1

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: History | None, noise: Noise
    ) -> tuple[Tensor, History]:
        """Draw x' around the mean of the third order."""
        history = remember(state, sigma, denoise(x, sigma), depth=3)
        mean = third_order_mean(x, sigma_next, history, self.eta)
        return renoised(mean, _std(sigma, sigma_next, self.eta), noise), history


def _std(sigma: float, sigma_next: float, eta: float) -> float:
    """sigma' sqrt(1 - exp(-2 eta h)), exp(-h) being sigma' / sigma."""
    return sigma_next * math.sqrt(1 - (sigma_next / sigma) ** (2 * eta))
