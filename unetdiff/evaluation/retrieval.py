"""Retrieval: for how many queries is their own among the first k of M that are ranked by cosine?

R@k is the share of queries whose own is (Hodosh et al. 2013, section 4.2). Errors are those of a bootstrap over what
is ranked (Efron 1979), as queries of the same own are found or missed together.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetdiff.evaluation.distances import Features
from unetdiff.plain import require

__all__ = ["Measured", "Numbers", "RetrievalScore", "ranked"]

DEPTHS = (1, 5, 10)
DRAWS = 500

Numbers = NDArray[np.int64]
Vector = NDArray[np.float64]


def ranked(queries: Features, candidates: Features, own: Numbers) -> Numbers:
    """At which place among the candidates (M, D) the own one of each query (N, D) comes, from 1; (N,).

    Of equals each takes the last place, so that a query that tells nothing finds nothing.
    """
    cosines = _unit(queries) @ _unit(candidates).T
    places: Numbers = (cosines >= np.take_along_axis(cosines, own[:, None], axis=1)).sum(axis=1)
    return places


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number and its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True, kw_only=True)
class RetrievalScore:
    """R@k by k, and the median rank."""

    recall: Mapping[int, Measured]
    median_rank: Measured

    @classmethod
    def of(cls, ranks: Numbers, own: Numbers) -> "RetrievalScore":
        """Of the ranks (N,) of queries whose own are `own` (N,).

        Raises:
            ValueError: all have the same own, which leaves no error to tell.
        """
        numbers = np.unique(own)
        require(len(numbers) > 1, "own", "at least two different ones", len(numbers))
        parts = [ranks[own == number] for number in numbers]
        draws = np.random.default_rng(0).integers(len(parts), size=(DRAWS, len(parts)))
        replicates = [_measures(np.concatenate([parts[part] for part in draw])) for draw in draws]
        return cls._of(_measures(ranks), np.std(replicates, axis=0))

    @classmethod
    def by_chance(cls, candidates: int) -> "RetrievalScore":
        """What queries that tell nothing of their own score on the average."""
        recall = [min(depth / candidates, 1.0) for depth in DEPTHS]
        return cls._of(np.array([*recall, (candidates + 1) / 2]), np.zeros(len(DEPTHS) + 1))

    @classmethod
    def _of(cls, values: Vector, errors: Vector) -> "RetrievalScore":
        pairs = zip(values.tolist(), errors.tolist(), strict=True)
        *recall, median_rank = (Measured(value=value, standard_error=error) for value, error in pairs)
        return cls(recall=dict(zip(DEPTHS, recall, strict=True)), median_rank=median_rank)


def _measures(ranks: Numbers) -> Vector:
    """R@k for each k, then the median."""
    return np.array([*((ranks <= depth).mean() for depth in DEPTHS), np.median(ranks)])


def _unit(rows: Features) -> Features:
    """Rows of length 1; of zeros, zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Features = rows / np.where(lengths > 0, lengths, 1)
    return unit
