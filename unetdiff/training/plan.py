"""What a run will take before it is made: memory, disk and time, from a gradient and two steps that nobody keeps."""

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from unetdiff.training.config import TrainConfig
from unetdiff.training.loop import Trainer
from unetdiff.training.peak_memory import peak_memory

__all__ = ["Memory", "Plan", "Probe", "make_plan"]

STEPS = 2  # the first of them warms up or compiles


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of a process's device that stay taken, as long as the run lasts."""

    weights: int
    teacher: int
    gradients: int
    optimizer: int
    averages: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.weights + self.teacher + self.gradients + self.optimizer + self.averages


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What was measured: bytes that a micro-batch takes beside `Memory`, and seconds of an optimiser step."""

    activations: int
    step_seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run on `processes` devices of kind `device`, `step` steps of which are made.

    `config.accumulation` is what memory allows. `checkpoint` and `model` are bytes on disk, of which `free` are left.
    `probe` is None where nothing remains to be done.
    """

    config: TrainConfig
    device: str
    processes: int
    step: int
    parameters: int
    memory: Memory
    checkpoint: int
    model: int
    free: int
    probe: Probe | None


def make_plan(trainer: Trainer) -> Plan:
    """Look at a trainer that stands where its run would start; it has made steps afterwards, so throw it away."""
    state, config = trainer.state, trainer.config
    tensors = {file: _bytes(named.values()) for file, named in state.tensors().items()}
    memory = Memory(
        weights=_bytes(state.unet.state_dict().values()),
        teacher=0 if trainer.teacher is None else _bytes(trainer.teacher.denoiser.unet.state_dict().values()),
        gradients=_bytes(parameter for parameter in state.unet.parameters() if parameter.requires_grad),
        optimizer=tensors["optimizer.safetensors"],
        averages=sum(tensors[f"{name}.safetensors"] for name in state.ema.models),
    )
    return Plan(
        config=config,
        device=trainer.accelerator.device.type,
        processes=trainer.accelerator.num_processes,
        step=state.step,
        parameters=state.unet.num_parameters(),
        memory=memory,
        checkpoint=sum(tensors.values()),
        model=_bytes(state.ema.model.state_dict().values()),
        free=shutil.disk_usage(_existing(config.out)).free,
        probe=_probe(trainer, memory.gradients) if state.step < config.steps else None,
    )


def _probe(trainer: Trainer, gradients: int) -> Probe:
    """Measure the memory of one part of a step, then the time of the last of a few steps."""
    step, parts = trainer.optimizer_step, trainer.config.accumulation
    stream = trainer.stream(parts)
    peak = peak_memory(lambda: step.rehearse([stream[0]]), trainer.accelerator.device)
    step.optimizer.zero_grad()
    seconds = 0.0
    for first in range(0, min(STEPS, trainer.config.steps - trainer.state.step) * parts, parts):
        batches = [stream[first + part] for part in range(parts)]  # workers would have them ready
        began = time.perf_counter()
        step(iter(batches))  # it waits for the device, since it reads the loss
        seconds = time.perf_counter() - began
    return Probe(activations=max(0, peak - gradients), step_seconds=seconds)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _existing(path: Path) -> Path:
    """The folder itself or the nearest one above it that exists."""
    return next(folder for folder in (path, *path.resolve().parents) if folder.is_dir())
