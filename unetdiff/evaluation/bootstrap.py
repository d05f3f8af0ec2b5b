"""Bootstrap intervals: what a number would have been on other images of the same kind (Efron 1979).

Images are drawn again with replacement, as many as there are, and the number is computed anew. An interval holds the
middle of these replicates. Distances of finite sets are biased, and images that a draw repeats add the same bias once
more, which pushes the replicates off the number that they are about: their interval is moved back onto it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetdiff.plain import require

__all__ = ["Interval", "Resampling"]

Vector = NDArray[np.float64]

COVERAGE = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Of 95%."""

    low: float
    high: float

    @classmethod
    def of(cls, replicates: Vector) -> "Interval":
        """Of a number without bias: quantiles of its replicates."""
        low, high = np.quantile(replicates, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
        return cls(low=float(low), high=float(high))

    @classmethod
    def around(cls, value: float, replicates: Vector) -> "Interval":
        """Of a biased number: value + quantiles of the replicates - their mean."""
        return cls.of(replicates - replicates.mean() + value)


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """`draws` choices of the same number of images, always the same ones."""

    draws: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.draws >= 2, "bootstrap", "at least 2 draws", self.draws)

    def rows(self, count: int) -> Iterator[NDArray[np.int64]]:
        """For each draw (count,) numbers of images below `count`."""
        generator = np.random.default_rng(self.seed)
        for _ in range(self.draws):
            yield generator.integers(count, size=count)

    def of_mean(self, terms: NDArray[np.generic]) -> Interval:
        """Of the mean over images of one number for each, (N,)."""
        numbers = terms.astype(np.float64)
        return Interval.of(np.array([numbers[rows].mean() for rows in self.rows(len(numbers))]))
