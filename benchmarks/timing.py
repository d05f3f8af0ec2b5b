"""Interleaved timing: candidates take turns, so that whatever else the machine does meets all of them alike.

A ratio is formed within each round and summarised over rounds; a ratio of two medians would keep the drift in between.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch._inductor.utils import fresh_cache

__all__ = ["Quartiles", "Work", "cold_compiler", "interleaved", "ratios", "seconds"]

Work = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Quartiles:
    """The middle of a few numbers, and the range that holds half of them."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Quartiles":
        """Linear interpolation between the sorted values."""
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
        return cls(low=low, median=median, high=high)


def seconds(work: Work) -> float:
    """Wall-clock time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def interleaved(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds of each candidate in each round; a round calls each once, in the order of `works`."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(seconds(work))
    return taken


def ratios(numerator: Sequence[float], denominator: Sequence[float]) -> Quartiles:
    """Quartiles over rounds of the ratio within a round."""
    return Quartiles.of([a / b for a, b in zip(numerator, denominator, strict=True)])


@contextmanager
def cold_compiler() -> Iterator[None]:
    """Forget compiled code before and after, so that a first call inside compiles as in a new installation."""
    torch._dynamo.reset()
    with fresh_cache():
        yield
    torch._dynamo.reset()
