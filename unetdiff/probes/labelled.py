"""What probes are run on: features of training and test images at the same places and noise levels, with labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unetdiff.errors import InputError
from unetdiff.features.cell import Cell
from unetdiff.features.splits import open_splits
from unetdiff.features.store import FeatureStore
from unetdiff.name_patterns import matching
from unetdiff.probes.rows import Rows
from unetdiff.probes.task import Labels, require_labels

__all__ = ["LabelledFeatures", "cells_called"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledFeatures:
    """Rows of every cell, for training and for test images.

    Attributes:
        cells: Places and noise levels.
        train, test: Rows of each cell.
        train_labels, test_labels: The classes of the rows.
        classes: Their names.
    """

    cells: tuple[Cell, ...]
    train: tuple[Rows, ...]
    test: tuple[Rows, ...]
    train_labels: Labels
    test_labels: Labels
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for labels in (self.train_labels, self.test_labels):
            require_labels(labels, len(self.classes))

    @classmethod
    def open(cls, folder: Path, cells: str | None = None) -> "LabelledFeatures":
        """Of the stores `folder/train` and `folder/test`; `cells` as `cells_called` takes them, all without it.

        Raises:
            InputError: a store that is missing or incomplete, has no labels, or is of another model or settings.
        """
        train, test = open_splits(folder)
        chosen = train.cells if cells is None else cells_called(cells, train.cells)
        return cls(
            cells=chosen,
            train=tuple(train[cell] for cell in chosen),
            test=tuple(test[cell] for cell in chosen),
            train_labels=_labels(train),
            test_labels=_labels(test),
            classes=train.classes,
        )

    @property
    def floor(self) -> float:
        """Test accuracy of always saying the most frequent class of the training rows."""
        return float((self.test_labels == np.bincount(self.train_labels).argmax()).mean())


def cells_called(names: str, cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Cells that any of the names means, which have commas between: a tap, or a pattern of taps, maybe with @SIGMA.

    Raises:
        InputError: a name that means none.
    """
    taps = list(dict.fromkeys(cell.tap for cell in cells))
    chosen: set[Cell] = set()
    for name in names.split(","):
        pattern, _, level = name.partition("@")
        meant = set(matching(taps, [pattern], "cells"))
        found = {cell for cell in cells if cell.tap in meant and level in ("", f"{cell.sigma:g}", repr(cell.sigma))}
        if not found:
            levels = ", ".join(f"{sigma:g}" for sigma in sorted({cell.sigma for cell in cells}))
            raise InputError(f"cells: expected a noise level among {levels} behind the @, got {name}")
        chosen |= found
    return tuple(cell for cell in cells if cell in chosen)


def _labels(store: FeatureStore) -> Labels:
    if store.labels is None:
        raise InputError(f"{store.folder}: features with labels expected, got some of images without")
    return store.labels
