"""The network that a run learns from: found, checked and loaded once. Checkpoints have its hash alone."""

import torch

from unetdiff.denoiser import Denoiser
from unetdiff.distillation import Teacher, require_alike
from unetdiff.training.config import TrainConfig
from unetdiff.training.pretrained import Pretrained

__all__ = ["load_teacher"]


def load_teacher(config: TrainConfig, device: torch.device) -> Teacher | None:
    """The teacher that `config.distill` names, laid out and compiled as the student; None without one.

    Raises:
        InputError: it cannot be read, was trained with another preconditioning, or is no teacher of this network.
    """
    if config.distill is None:
        return None
    source = Pretrained.find(config.distill.teacher)
    source.require_preconditioning(config.objective.preconditioning)
    require_alike(config.model, source.config)
    unet = source.load().to(device)
    if config.channels_last:
        unet.to(memory_format=torch.channels_last)
    if config.compile:
        unet.compile_blocks()
    return Teacher(Denoiser(unet, config.objective.preconditioning))
