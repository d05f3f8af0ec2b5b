"""How well classes are told: counts of true and told classes, and what follows from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Confusion"]


@dataclass(frozen=True, eq=False)
class Confusion:
    """Numbers of pixels by their class (rows) and the class that is told (columns)."""

    counts: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each class, |A and B| / |A or B|; not a number where no pixel is or is told so."""
        intersection = np.diag(self.counts)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - intersection
        iou: NDArray[np.float64] = np.divide(intersection, union, out=np.full(len(union), np.nan), where=union > 0)
        return iou

    @property
    def mean_iou(self) -> float:
        """Over the classes that there are."""
        return float(np.nanmean(self.iou))

    @property
    def accuracy(self) -> float:
        """Share of pixels that are told right."""
        return float(np.trace(self.counts) / self.counts.sum())
