"""A probe: settings that, fitted to features and their classes, predict the classes of other rows.

A probe is a frozen dataclass of settings; a new one is a new class beside its siblings and a row of `catalogue.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from unetdiff.errors import InputError
from unetdiff.features.cell import Cell
from unetdiff.probes.rows import Rows
from unetdiff.probes.task import Labels, Task

__all__ = ["CellProbe", "Fitted", "Predictor", "Probe", "Scores", "accuracy", "best_of", "require_fit"]

Scores = NDArray[np.float32]
"""(N, classes), the highest for the class that is predicted."""


class Predictor(ABC):
    """What a fit leaves: a function from features to scores."""

    @abstractmethod
    def scores(self, features: Sequence[Rows]) -> Scores:
        """Of rows of the cells that this was fitted to, in the same order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A fitted probe.

    Attributes:
        inputs: Which of the given cells it takes, by their places.
        predictor: Fitted to all training rows, with the settings that were best on the held-out ones.
        validation: Accuracy on the held-out rows when these were not fitted to; None where there were none.
        chosen: The settings that were chosen on them, by name.
    """

    inputs: tuple[int, ...]
    predictor: Predictor
    validation: float | None
    chosen: Mapping[str, float] = field(default_factory=dict)

    def scores(self, features: Sequence[Rows]) -> Scores:
        """Of other rows; `features` are those of all given cells."""
        return self.predictor.scores([features[index] for index in self.inputs])

    def predict(self, features: Sequence[Rows]) -> Labels:
        """The class of each row."""
        labels: Labels = self.scores(features).argmax(axis=1)
        return labels

    def accuracy(self, features: Sequence[Rows], labels: Labels) -> float:
        """Share of rows whose class is predicted."""
        return accuracy(self.scores(features), labels)


class Probe(ABC):
    """Settings of a probe."""

    @abstractmethod
    def fit_each(self, features: Sequence[Rows], task: Task) -> list[Fitted]:
        """Fit to all cells of a sweep: a probe for each cell, or fewer that each take several.

        Args:
            features: rows of each cell, for the same images in the same order.
            task: what to learn of them.

        Raises:
            InputError: values that are not finite, or another number of rows than of labels.
        """

    def for_cells(self, cells: Sequence[Cell]) -> "Probe":
        """This probe where `features` are of these cells."""
        return self

    def for_epochs(self, epochs: int) -> "Probe":
        """This probe with so many passes over the training rows, where it makes passes."""
        return self

    def for_shots(self, count: int) -> "Probe":
        """This probe where `count` rows of each class are all there is."""
        return self


class CellProbe(Probe):
    """A probe that takes one cell, and knows nothing of the others."""

    @abstractmethod
    def fit(self, rows: Rows, task: Task) -> Fitted:
        """Fit to one cell; `inputs` of what comes back are (0,)."""

    def fit_each(self, features: Sequence[Rows], task: Task) -> list[Fitted]:
        """One after the other."""
        return [replace(self.fit(rows, task), inputs=(index,)) for index, rows in enumerate(features)]


def accuracy(scores: Scores, labels: Labels) -> float:
    """Share of rows whose highest score is that of their class."""
    return float((scores.argmax(axis=1) == labels).mean())


def best_of(validation: Sequence[float | None]) -> int:
    """The place of the highest accuracy on held-out rows, of equal ones the first; of unknown ones the middle."""
    known = [value for value in validation if value is not None]
    if len(known) < len(validation):
        return len(validation) // 2
    return known.index(max(known))


def require_fit(features: Sequence[Rows], task: Task) -> None:
    """Refuse features that are not of the rows that the labels are of."""
    for rows in features:
        if len(rows.shape) < 2:
            raise InputError(f"features: shape (N, C) or (N, C, h, w) expected, got {rows.shape}")
        if len(rows) != len(task.labels):
            raise InputError(f"features: {len(task.labels)} rows expected, one for each label, got {len(rows)}")
