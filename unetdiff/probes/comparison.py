"""Probes on the cells of a sweep: accuracy of each, and the cell that is best on held-out training rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from unetdiff.features.cell import Cell
from unetdiff.probes.few_shot import FewShot
from unetdiff.probes.labelled import LabelledFeatures
from unetdiff.probes.probe import Probe
from unetdiff.probes.task import Task, held_out_rows

__all__ = ["Comparison", "Result", "best_result"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a probe reached.

    Attributes:
        probe: Its name.
        cells: What it was given.
        validation: Accuracy on held-out training rows; None where few-shot draws are too many to look at.
        test: Accuracy on the test rows; of draws the mean.
        chosen: Settings that were chosen on the held-out rows.
        shots: Rows of each class that it was fitted to; None is all.
        deviation: Of the test accuracy over draws.
    """

    probe: str
    cells: tuple[Cell, ...]
    validation: float | None
    test: float
    chosen: Mapping[str, float] = field(default_factory=dict)
    shots: int | None = None
    deviation: float | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How probes are compared.

    Attributes:
        held_out: Part of the training rows that every choice is made on.
        shots: Also with as many rows of each class.
        repeats: Draws of these.
        seed: Of the held-out rows and of the draws.
    """

    held_out: float = 0.1
    shots: tuple[int, ...] = ()
    repeats: int = 10
    seed: int = 0

    def run(self, name: str, probe: Probe, features: LabelledFeatures) -> list[Result]:
        """Fit the probe of this name to all cells, with all rows and with few."""
        fitting = probe.for_cells(features.cells)
        return [*self._with_all(name, fitting, features), *self._with_few(name, fitting, features)]

    def _with_all(self, name: str, probe: Probe, features: LabelledFeatures) -> list[Result]:
        held_out = held_out_rows(features.train_labels, self.held_out, self.seed)
        task = Task(labels=features.train_labels, classes=len(features.classes), held_out=held_out)
        return [
            Result(
                probe=name,
                cells=tuple(features.cells[index] for index in fitted.inputs),
                validation=fitted.validation,
                test=fitted.accuracy(features.test, features.test_labels),
                chosen=fitted.chosen,
            )
            for fitted in probe.fit_each(features.train, task)
        ]

    def _with_few(self, name: str, probe: Probe, features: LabelledFeatures) -> list[Result]:
        task = Task(labels=features.train_labels, classes=len(features.classes))
        return [
            Result(
                probe=name,
                cells=tuple(features.cells[index] for index in found.inputs),
                validation=None,
                test=found.mean,
                shots=shots,
                deviation=found.deviation,
            )
            for shots in self.shots
            for found in FewShot(shots=shots, repeats=self.repeats, seed=self.seed).run(
                probe, features.train, task, features.test, features.test_labels
            )
        ]


def best_result(results: Sequence[Result]) -> Result:
    """The one that is best on held-out training rows, of equal ones the first."""
    validated = [result for result in results if result.validation is not None]
    return max(validated, key=lambda result: result.validation or 0)
