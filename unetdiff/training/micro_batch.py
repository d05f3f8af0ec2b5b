"""As many images at a time as memory holds: a process that has too little takes its share of a batch in more parts.

The global batch stays, and with it the noise of every image; what changes is dropout and the rounding of sums.
"""

import logging
from collections.abc import Callable

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from unetdiff.data import SampleStream
from unetdiff.errors import InputError
from unetdiff.training.step import OptimizerStep

__all__ = ["fitting_accumulation"]

logger = logging.getLogger(__name__)


def fitting_accumulation(step: OptimizerStep, stream: Callable[[int], SampleStream]) -> int:
    """The parts, as many as configured or more, in which every process has room for its share of a batch.

    Finds out by computing a gradient, and drops it. `stream(parts)` has the batches in so many parts.

    Raises:
        InputError: there is no room for a single image.
    """
    share = step.config.batch_size // step.accelerator.num_processes
    parts = step.config.accumulation
    while not _fits(step, stream(parts), parts):
        more = next((number for number in range(2 * parts, share + 1) if share % number == 0), None)
        if more is None:
            raise InputError(
                f"memory: expected room to train on one image at a time on {step.accelerator.device}, got out of "
                "memory; try gradient_checkpointing, mixed_precision or a smaller model"
            )
        if step.accelerator.is_main_process:
            logger.warning(
                "out of memory with %d images at a time: going on with %d, in %d parts (batch_size stays %d)",
                *(share // parts, share // more, more, step.config.batch_size),
            )
        parts = more
    return parts


def _fits(step: OptimizerStep, batches: SampleStream, parts: int) -> bool:
    """Whether no process runs out of memory. The second part meets the gradient of the first, so two are enough."""
    room = True
    try:
        step.rehearse(batches[part] for part in range(min(2, parts)))
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        room = False  # what follows is outside: the exception holds the tensors of its frames
    step.optimizer.zero_grad()
    failures = torch.tensor(float(not room), device=step.accelerator.device)
    if not step.accelerator.reduce(failures, "sum"):
        return True
    clear_device_cache(garbage_collection=True)
    if step.config.compile:
        torch.compiler.reset()  # code for a size that is given up would count towards the limit of variants
    return False
