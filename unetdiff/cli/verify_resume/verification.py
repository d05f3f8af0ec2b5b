"""The two trainings: one that is left alone, and one that is killed again and again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unetdiff.cli.verify_resume.attempt import Attempt
from unetdiff.cli.verify_resume.moments import Moment, Pace, draw_moment
from unetdiff.training.checkpoint import checkpoints, step_of
from unetdiff.training.config import TrainConfig
from unetdiff.training.run_folder import RunFolder

__all__ = ["Kill", "Verification"]

POLL_SECONDS = 5e-4  # a checkpoint of a small network is written within milliseconds


@dataclass(frozen=True, kw_only=True)
class Kill:
    """Where the run stood when it was killed (None: before its first step), and where it will go on."""

    number: int
    moment: Moment
    step: int | None
    resumed_from: int


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The configuration `settings` on `processes` processes, twice, in folders of their own."""

    config: TrainConfig
    settings: Path
    processes: int

    @property
    def whole(self) -> RunFolder:
        """The run that is left alone."""
        return RunFolder(self.config.out / "whole")

    @property
    def killed(self) -> RunFolder:
        """The run that is killed."""
        return RunFolder(self.config.out / "killed")

    def train_whole(self) -> Pace:
        """Train without interruption, and measure how long that takes."""
        began = time.perf_counter()
        startup = 0.0
        with self._attempt(self.whole) as attempt, tqdm(total=self.config.steps, unit="step", disable=None) as bar:
            while not attempt.finished():
                time.sleep(0.05)
                bar.update((attempt.step or 0) - bar.n)
                if not attempt.step:
                    startup = time.perf_counter() - began
            bar.update(self.config.steps - bar.n)
        return Pace(startup=startup, step=(time.perf_counter() - began - startup) / self.config.steps)

    def train_with_kills(self, pace: Pace, kills: int, random: np.random.Generator) -> Iterator[Kill]:
        """Train to the end, interrupted `kills` times; fewer, where the run was faster than expected."""
        for number in range(kills):
            moment = draw_moment(random, self.config, pace, start=self._newest(), kill=number, kills=kills)
            with self._attempt(self.killed) as attempt:
                while not moment.reached(attempt) and not attempt.finished():
                    time.sleep(POLL_SECONDS)
                time.sleep(moment.delay)
                if attempt.finished():
                    return
                attempt.kill()
                yield Kill(number=number + 1, moment=moment, step=attempt.step, resumed_from=self._newest())
        with self._attempt(self.killed) as attempt:
            while not attempt.finished():
                time.sleep(0.05)

    def _attempt(self, folder: RunFolder) -> Attempt:
        return Attempt(self.settings, folder, self.processes, folder.root.with_suffix(".log"))

    def _newest(self) -> int:
        """Where the killed run goes on."""
        found = checkpoints(self.killed.checkpoints)
        return step_of(found[-1]) if found else 0
