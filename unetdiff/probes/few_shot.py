"""What a probe learns from n images of each class: mean and standard deviation over random draws of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unetdiff.errors import InputError
from unetdiff.plain import require
from unetdiff.probes.probe import Probe
from unetdiff.probes.rows import Indices, Rows, Selected
from unetdiff.probes.task import Labels, Task, held_out_rows

__all__ = ["FewShot", "FewShotResult", "draw"]


@dataclass(frozen=True, kw_only=True)
class FewShotResult:
    """Test accuracies of a probe with `shots` rows of each class, one for each draw."""

    inputs: tuple[int, ...]
    shots: int
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the draws."""
        return float(np.mean(self.accuracies))

    @property
    def deviation(self) -> float:
        """Sample standard deviation over the draws; 0 for a single one."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else 0.0


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """How often and with how much a probe is fitted.

    Attributes:
        shots: Rows of each class.
        repeats: Draws.
        held_out: Part of them that choices are made on. Of one row a class nothing is held out, nothing is chosen.
        seed: Of the draws.
    """

    shots: int
    repeats: int = 10
    held_out: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.shots >= 1, "shots", "at least 1", self.shots)
        require(self.repeats >= 1, "repeats", "at least 1", self.repeats)
        require(0 < self.held_out < 1, "held_out", "a number between 0 and 1", self.held_out)

    def run(
        self, probe: Probe, train: Sequence[Rows], task: Task, test: Sequence[Rows], test_labels: Labels
    ) -> list[FewShotResult]:
        """A result for each probe that `probe.fit_each` fits; the draws are the same for all cells and all probes.

        Raises:
            InputError: a class with fewer rows.
        """
        few = probe.for_shots(self.shots)
        found: dict[tuple[int, ...], list[float]] = {}
        for chosen, drawn in self._draws(task):
            for fitted in few.fit_each([Selected(rows, chosen) for rows in train], drawn):
                found.setdefault(fitted.inputs, []).append(fitted.accuracy(test, test_labels))
        return [FewShotResult(inputs=key, shots=self.shots, accuracies=tuple(found[key])) for key in found]

    def _draws(self, task: Task) -> Iterator[tuple[Indices, Task]]:
        for repeat in range(self.repeats):
            chosen = draw(task.labels, self.shots, np.random.default_rng([self.seed, self.shots, repeat]))
            labels = task.labels[chosen]
            nothing = np.empty(0, dtype=np.int64)
            held_out = nothing if self.shots == 1 else held_out_rows(labels, self.held_out, self.seed)
            yield chosen, Task(labels=labels, classes=task.classes, held_out=held_out)


def draw(labels: Labels, shots: int, generator: np.random.Generator) -> Indices:
    """This many rows of each class, at random.

    Raises:
        InputError: a class with fewer rows.
    """
    members = {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
    for label, rows in members.items():
        if len(rows) < shots:
            raise InputError(
                f"few-shot: at least {shots} rows of each class expected, got {len(rows)} of class {label}"
            )
    return np.sort(np.concatenate([generator.permutation(rows)[:shots] for rows in members.values()]))
