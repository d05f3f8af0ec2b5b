"""What a probe is to learn: the class of each training row, and which rows it makes its choices on."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from unetdiff.errors import InputError
from unetdiff.plain import require
from unetdiff.probes.rows import Indices

__all__ = ["Labels", "Task", "held_out_rows", "require_labels"]

Labels = NDArray[np.int64]
"""The class of each row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """Training labels. Every choice (C, k, epoch, cell) is made on `held_out` rows of the training set.

    Attributes:
        labels: (N,), each below `classes`.
        classes: Their number.
        held_out: Rows kept from the fit while something is chosen; nothing can be chosen where there are none.
    """

    labels: Labels
    classes: int
    held_out: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __post_init__(self) -> None:
        require_labels(self.labels, self.classes)
        known = len(self.held_out) == 0 or 0 <= self.held_out.min() <= self.held_out.max() < len(self.labels)
        require(known, "held_out", f"numbers of rows below {len(self.labels)}", self.held_out)
        require(len(self.held_out) < len(self.labels), "held_out", "fewer rows than there are", len(self.held_out))

    @property
    def kept(self) -> Indices:
        """The rows that are not held out."""
        return np.setdiff1d(np.arange(len(self.labels)), self.held_out)


def require_labels(labels: Labels, classes: int) -> None:
    """Refuse labels that are none of these classes, or of one class alone."""
    if classes < 2:
        raise InputError(f"classes: expected at least 2 to tell apart, got {classes}")
    if labels.ndim != 1 or len(labels) == 0:
        raise InputError(f"labels: expected one for each row, got shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels: expected numbers below {classes}, got {labels.min()} to {labels.max()}")


def held_out_rows(labels: Labels, fraction: float = 0.1, seed: int = 0) -> Indices:
    """This part of each class at random, at least one row of each: the same for everything that is fitted.

    Raises:
        InputError: a class with a single row, which cannot be both learned and tested on.
    """
    require(0 < fraction < 1, "fraction", "a number between 0 and 1", fraction)
    generator = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise InputError(f"labels: at least 2 rows of each class expected, to hold one out, got 1 of class {label}")
        count = max(1, round(fraction * len(members)))
        chosen.append(generator.permutation(members)[:count])
    return np.sort(np.concatenate(chosen))
