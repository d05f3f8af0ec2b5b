"""The loss that a run makes its steps on: of its objective alone, or of a teacher too."""

from unetdiff.denoiser import Denoiser
from unetdiff.distillation import Teacher
from unetdiff.losses import DenoisingLoss, LogVariance, TrainingLoss
from unetdiff.training.config import TrainConfig
from unetdiff.unet import UNet

__all__ = ["training_loss"]


def training_loss(
    config: TrainConfig, unet: UNet, average: UNet, log_variance: LogVariance | None, teacher: Teacher | None
) -> TrainingLoss:
    """The loss of `unet` in training mode; `average` is the running average of its weights.

    Raises:
        InputError: teacher and student do not go together.
    """
    preconditioning = config.objective.preconditioning
    student = Denoiser(unet, preconditioning)
    if config.distill is None or teacher is None:
        return DenoisingLoss(student, config.objective, log_variance).train()
    targets = Teacher(Denoiser(average, preconditioning))
    return config.distill.loss(student, config.objective, teacher, targets).train()
