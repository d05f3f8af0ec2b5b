"""Consistency distillation: all points of a path denoise to where it ends (Song et al. 2023, algorithm 2).

    L = d(D_S(x, sigma_i), D_-(x', sigma_(i-1))),   x' one step of Heun's method with the teacher from x

D_- is the running average of the student. At sigma_0 = sigma_min the target is x' itself: that is the boundary
condition D(x, sigma_min) = x of the paper, which so holds for every preconditioning. d is the pseudo-Huber distance
sqrt(|a - b|^2 + c^2) - c, c = 0.00054 sqrt(C H W) (Song & Dhariwal 2024, equation 8).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import Unpack

from unetdiff.denoiser import Condition, Denoiser
from unetdiff.distillation.distillation import Distillation
from unetdiff.distillation.ode import Levels
from unetdiff.distillation.teacher import Teacher
from unetdiff.losses import Objective, TrainingLoss, noised
from unetdiff.plain import require

__all__ = ["ConsistencyDistillation", "ConsistencyLoss"]


@dataclass(frozen=True, kw_only=True)
class ConsistencyDistillation(Distillation):
    """`steps`: those that a path is divided into; `rho` says how they lie, see `unetdiff.distillation.ode`.

    `huber` is c / sqrt(C H W). The run's `ema` gives the targets: it should forget within some tens of steps (decay
    0.95).
    """

    needs_average: ClassVar[bool] = True

    steps: int = 18
    rho: float = 7.0
    huber: float = 0.00054

    def __post_init__(self) -> None:
        require(self.steps >= 1, "distill.steps", "a positive number", self.steps)
        for name in ("rho", "huber"):
            require(getattr(self, name) > 0, f"distill.{name}", "a positive number", getattr(self, name))

    def loss(self, student: Denoiser, objective: Objective, teacher: Teacher, average: Teacher) -> TrainingLoss:
        """The distance between neighbours."""
        levels = Levels(steps=self.steps, rho=self.rho, sigma_range=objective.preconditioning.sigma_range)
        return ConsistencyLoss(student, objective, teacher, average, levels, self.huber)


class ConsistencyLoss(TrainingLoss):
    """The same weight at every level, as in the paper; the objective has a say in nothing but the preconditioning."""

    def __init__(
        self,
        student: Denoiser,
        objective: Objective,
        teacher: Teacher,
        average: Teacher,
        levels: Levels,
        huber: float,
    ) -> None:
        super().__init__(student, objective)
        self.teacher, self.average, self.levels, self.huber = teacher, average, levels, huber

    def sigma(self, u: Tensor) -> Tensor:
        """The levels above the least, one as often as another."""
        return self.levels.draw(u)

    def forward(self, images: Tensor, noise: Tensor, sigma: Tensor, **condition: Unpack[Condition]) -> Tensor:
        """The loss of each image: (N,)."""
        x = noised(images, noise, sigma)
        denoised: Tensor = self.denoiser(x, sigma, **condition)
        difference = (denoised - self.target(x, sigma, **condition)).flatten(1)
        c = self.huber * math.sqrt(difference.shape[1])
        return (difference.square().sum(dim=1) + c**2).sqrt() - c

    def target(self, x: Tensor, sigma: Tensor, **condition: Unpack[Condition]) -> Tensor:
        """What the average makes of the neighbours of the noisy images: (N, C, H, W)."""
        i = self.levels.index(sigma)
        nearer = self.levels(i - 1).to(sigma.dtype)
        neighbour = self._heun(x, sigma, nearer, **condition)
        ends = (i == 1).reshape(-1, 1, 1, 1)
        return torch.where(ends, neighbour, self.average(neighbour, nearer, **condition))

    def _heun(self, x: Tensor, sigma: Tensor, sigma_next: Tensor, **condition: Unpack[Condition]) -> Tensor:
        """A step of second order: along the mean of the slopes at its ends (Karras et al. 2022, algorithm 1)."""
        h = (sigma_next - sigma).to(x.dtype).reshape(-1, 1, 1, 1)
        d = self._slope(x, sigma, **condition)
        mean_d = (d + self._slope(x + h * d, sigma_next, **condition)) / 2
        return x + h * mean_d

    def _slope(self, x: Tensor, sigma: Tensor, **condition: Unpack[Condition]) -> Tensor:
        """dx / dsigma = (x - D) / sigma."""
        return (x - self.teacher(x, sigma, **condition)) / sigma.to(x.dtype).reshape(-1, 1, 1, 1)
