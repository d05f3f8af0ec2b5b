"""Progressive distillation: one step of the student is two steps of its teacher (Salimans & Ho 2022, algorithm 2).

The teacher goes from sigma by two steps of DDIM to x''; the student is trained to denoise to the image from which one
step of DDIM reaches the same place,

    x~ = (x'' - r x) / (1 - r),   r = sigma'' / sigma

The result needs half the steps, and is the teacher of the next round.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import Unpack

from unetdiff.denoiser import Condition, Denoiser
from unetdiff.distillation.distillation import Distillation
from unetdiff.distillation.ode import Levels, ddim
from unetdiff.distillation.teacher import Teacher
from unetdiff.losses import Objective, TrainingLoss, noised, weighted_error
from unetdiff.plain import require
from unetdiff.preconditioning import Preconditioning

__all__ = ["ProgressiveDistillation", "ProgressiveLoss"]


@dataclass(frozen=True, kw_only=True)
class ProgressiveDistillation(Distillation):
    """`steps`: those of the student, half as many as the teacher's. The last of them ends at the clean image.

    `rho` says how they lie, see `unetdiff.distillation.ode`.
    """

    steps: int
    rho: float = 7.0

    def __post_init__(self) -> None:
        require(self.steps >= 1, "distill.steps", "a positive number", self.steps)
        require(self.rho > 0, "distill.rho", "a positive number", self.rho)

    def loss(self, student: Denoiser, objective: Objective, teacher: Teacher, average: Teacher) -> TrainingLoss:
        """The weighted squared error of the student's estimate."""
        return ProgressiveLoss(student, objective, teacher, self.levels(objective.preconditioning))

    def levels(self, preconditioning: Preconditioning) -> Levels:
        """Where the student's steps begin."""
        return Levels(steps=self.steps, rho=self.rho, sigma_range=preconditioning.sigma_range)


class ProgressiveLoss(TrainingLoss):
    """lambda(sigma) |D_S(x, sigma) - x~|^2 at the levels of the student's steps, with the weight of the objective."""

    def __init__(self, student: Denoiser, objective: Objective, teacher: Teacher, levels: Levels) -> None:
        super().__init__(student, objective)
        self.teacher, self.levels = teacher, levels

    def sigma(self, u: Tensor) -> Tensor:
        """The levels of the student's steps, one as often as another."""
        return self.levels.draw(u)

    def forward(self, images: Tensor, noise: Tensor, sigma: Tensor, **condition: Unpack[Condition]) -> Tensor:
        """The loss of each image: (N,)."""
        x = noised(images, noise, sigma)
        denoised: Tensor = self.denoiser(x, sigma, **condition)
        return weighted_error(self.objective, denoised, self.target(x, sigma, **condition), sigma)

    def target(self, x: Tensor, sigma: Tensor, **condition: Unpack[Condition]) -> Tensor:
        """x~ for each of the noisy images: (N, C, H, W)."""
        i = self.levels.index(sigma)
        between = self.levels(i - 0.5).to(sigma.dtype)
        end = torch.where(i > 1, self.levels(i - 1), 0.0).to(sigma.dtype)
        halfway = ddim(x, self.teacher(x, sigma, **condition), sigma, between)
        there = ddim(halfway, self.teacher(halfway, between, **condition), between, end)
        ratio = (end / sigma).to(x.dtype).reshape(-1, 1, 1, 1)
        return (there - ratio * x) / (1 - ratio)
