"""Restart sampling: go down, back up with fresh noise, down again, K times over an interval of noise levels.

Noise contracts the errors that the ODE steps before it made, while the steps themselves stay those of an ODE. Xu et al.
2023 (https://arxiv.org/abs/2306.14878), section 3.1. Here it is a schedule: a grid that rises K times. Where the grid
rises, the driver adds noise, so any sampler may walk it:

    sigmas = with_restarts(karras(18), [Restart(t_min=0.06, t_max=0.3, K=4, steps=5)])
    images = sample(denoise, sigmas[0] * noise(), sigmas, Heun(), noise=noise)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers.grids import karras

__all__ = ["Restart", "with_restarts"]


@dataclass(frozen=True, kw_only=True)
class Restart:
    """K times from t_min up to t_max and down again in `steps` steps (the paper's N_restart counts one level more)."""

    t_min: float
    t_max: float
    K: int = 1
    steps: int = 5
    rho: float = 7.0

    def __post_init__(self) -> None:
        if not 0 < self.t_min < self.t_max < math.inf:
            raise ValueError(f"t_min, t_max: expected 0 < t_min < t_max, got {self.t_min}, {self.t_max}")
        if self.K < 1:
            raise ValueError(f"K: expected at least 1 restart, got {self.K}")
        if self.steps < 1:
            raise ValueError(f"steps: expected at least 1 step, got {self.steps}")

    def levels(self, bottom: float) -> Tensor:
        """K times the levels from t_max down to `bottom`."""
        if not bottom < self.t_max:
            raise ValueError(f"t_max: expected more than the grid's nearest level to t_min, {bottom}, got {self.t_max}")
        return karras(self.steps + 1, bottom, self.t_max, self.rho)[:-1].repeat(self.K)


def with_restarts(sigmas: Tensor, restarts: Sequence[Restart]) -> Tensor:
    """Insert every restart into a falling grid, after the level nearest to its t_min and above 0."""
    sigmas = sigmas.to("cpu", torch.float64)
    positive = sigmas[sigmas > 0]
    nearest = [int((positive - restart.t_min).abs().argmin()) for restart in restarts]
    pieces = []
    for index, sigma in enumerate(sigmas):
        pieces.append(sigma[None])
        pieces += [restart.levels(float(sigma)) for restart, at in zip(restarts, nearest, strict=True) if at == index]
    return torch.cat(pieces)
