"""What all ways to learn from a teacher have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from unetdiff.denoiser import Denoiser
from unetdiff.distillation.teacher import Teacher
from unetdiff.losses import Objective, TrainingLoss

__all__ = ["Distillation"]


@dataclass(frozen=True, kw_only=True)
class Distillation(ABC):
    """A loss that asks a teacher: a model, run or pipeline folder, or a pipeline of the hub."""

    needs_average: ClassVar[bool] = False
    """Whether the loss asks the average of the student's weights, which then has to be whole on every process."""

    teacher: str

    @abstractmethod
    def loss(self, student: Denoiser, objective: Objective, teacher: Teacher, average: Teacher) -> TrainingLoss:
        """The loss that trains `student`; `average` is the running average of its weights.

        Raises:
            InputError: networks that do not go together.
        """
