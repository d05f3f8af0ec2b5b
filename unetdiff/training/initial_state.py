"""Everything that training changes, as it is before the first step."""

import torch
from torch.amp.grad_scaler import GradScaler

from unetdiff.training.averages import AveragedWeights
from unetdiff.training.checkpoint import TrainingState
from unetdiff.training.config import TrainConfig
from unetdiff.training.network import StartingNetwork
from unetdiff.training.optimizer import build_optimizer

__all__ = ["initial_state"]


def initial_state(
    config: TrainConfig, network: StartingNetwork, device: torch.device, scaler: GradScaler | None
) -> TrainingState:
    """The state of a run of `network` on `device`; the scaler is that of the run's precision."""
    unet = network.unet.to(device).train()
    if config.channels_last:
        unet.to(memory_format=torch.channels_last)
    ema = AveragedWeights(unet, config.ema)
    if config.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    if config.compile:
        unet.compile_blocks()
    parameters, log_variance = list(unet.named_parameters()), None
    if config.objective.uncertainty is not None:
        log_variance = config.objective.uncertainty.build().to(device)
        parameters.extend(log_variance.named_parameters(prefix="log_variance"))
    return TrainingState(
        unet=unet,
        ema=ema,
        optimizer=build_optimizer(config.optimizer, parameters),
        scaler=scaler,
        log_variance=log_variance,
    )
