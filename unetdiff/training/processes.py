"""The processes of a run, their device, precision and trackers, as accelerate was told of them."""

import os

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, InitProcessGroupKwargs, ProjectConfiguration

from unetdiff.errors import InputError
from unetdiff.training.config import TrainConfig
from unetdiff.training.precision import allow_tf32
from unetdiff.training.trackers import require_installed
from unetdiff.waiting import LONGEST_WAIT

__all__ = ["check_processes", "join_processes"]


def join_processes(config: TrainConfig) -> Accelerator:
    """Device, precision and processes; InputError where the configuration asks for what they cannot do."""
    require_installed(config.trackers)
    folders = ProjectConfiguration(project_dir=str(config.out), logging_dir=str(config.out / "tensorboard"))
    try:
        accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),  # where there is no GPU, processes would not see each other
            mixed_precision=config.mixed_precision,
            log_with=list(config.trackers) or None,
            project_config=folders,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
        )
    except ValueError as error:
        raise InputError(f"mixed_precision: expected what this device can do, got: {error}") from error
    allow_tf32(accelerator.device, config.tf32)
    if config.mixed_precision != "no" and not accelerator.native_amp:  # accelerate trains in float32 then
        device = accelerator.device.type
        raise InputError(f"mixed_precision: expected what a {device} can do, got {config.mixed_precision}")
    check_processes(accelerator)
    if config.distill is not None and config.distill.needs_average and accelerator.is_fsdp2:
        raise InputError(f"distill: expected one that asks no average under FSDP, got {type(config.distill).__name__}")
    parts = config.accumulation * accelerator.num_processes
    if config.batch_size % parts:
        expected = f"a multiple of {parts} (accumulation x processes)"
        raise InputError(f"batch_size: expected {expected}, got {config.batch_size}")
    return accelerator


def check_processes(accelerator: Accelerator) -> None:
    """Raise InputError where processes were started that accelerate does not see, or share out in an older way."""
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes < started:
        hint = "ACCELERATE_USE_CPU=true makes them one training on the CPU"
        raise InputError(
            f"processes: expected the {started} that were started, got {accelerator.num_processes}; {hint}"
        )
    if accelerator.distributed_type == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise InputError("fsdp_version: expected 2 in accelerate's configuration, got 1")
