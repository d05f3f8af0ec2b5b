"""Moments to kill a training at: uniform in time, and on purpose while a checkpoint is being written."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from unetdiff.cli.verify_resume.attempt import Attempt
from unetdiff.training.config import TrainConfig

__all__ = ["InStep", "Moment", "Pace", "Starting", "WhileSaving", "draw_moment"]

FILES = 4  # of the smallest checkpoint: weights, average, optimiser, state


class Moment(Protocol):
    """`delay` seconds after a condition on an attempt came true."""

    @property
    def delay(self) -> float:
        """Seconds to wait once it is `reached`."""

    def reached(self, attempt: Attempt) -> bool:
        """Whether the condition holds."""


@dataclass(frozen=True, kw_only=True)
class Starting:
    """While the processes import, open the data, and read the checkpoint."""

    delay: float

    def reached(self, attempt: Attempt) -> bool:
        """At once."""
        return True

    def __str__(self) -> str:
        return f"{self.delay:.2f} s after the start"


@dataclass(frozen=True, kw_only=True)
class InStep:
    """Behind step number `step`."""

    step: int
    delay: float

    def reached(self, attempt: Attempt) -> bool:
        """Look into the metrics."""
        return attempt.step is not None and attempt.step >= self.step

    def __str__(self) -> str:
        return f"{self.delay:.3f} s behind step {self.step}"


@dataclass(frozen=True, kw_only=True)
class WhileSaving:
    """While the checkpoint of `step` is being written, when that many of its `files` are there."""

    step: int
    files: int
    delay: float = 0.0

    def reached(self, attempt: Attempt) -> bool:
        """Look into the hidden folder that becomes the checkpoint; one that is whole came too fast to be seen."""
        checkpoints, name = attempt.folder.checkpoints, f"step-{self.step:07d}"
        staged = list(_entries(checkpoints / f".tmp-{attempt.pid}-{name}"))
        return len(staged) > self.files or (checkpoints / name).exists()

    def __str__(self) -> str:
        return f"writing checkpoint {self.step}, file {self.files + 1}"


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long an uninterrupted run takes: up to the first step, and for each step."""

    startup: float
    step: float


def draw_moment(
    random: np.random.Generator, config: TrainConfig, pace: Pace, *, start: int, kill: int, kills: int
) -> Moment:
    """The moment of kill number `kill` (from 0) of `kills`, for an attempt that goes on from step `start`.

    Every second one while a checkpoint is being written, every tenth while the processes start, the others uniform in
    time. On average an attempt comes less far than its even share of what is left: the last kill still finds a run.
    """
    reach = 1.5 * (config.steps - start) / (kills - kill + 1)
    if kill % 2 == 0:
        saves = _saves(config, start)
        near = [step for step in saves if step - start <= reach] or saves[:1]
        return WhileSaving(step=int(random.choice(near)), files=int(random.integers(FILES)))
    if kill % 10 == 9:
        return Starting(delay=random.uniform(0, pace.startup))
    step = random.uniform(start, start + reach)
    return InStep(step=math.floor(step), delay=step % 1 * pace.step)


def _saves(config: TrainConfig, start: int) -> list[int]:
    """Steps after `start` with a checkpoint to interrupt: not the last one, unless there is no other."""
    every = config.checkpoint_every or config.steps
    return list(range(start // every * every + every, config.steps, every)) or [config.steps]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
