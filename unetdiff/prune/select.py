"""Which parts to take out: those of the least total score among all that together save enough.

    minimise  sum_{i in S} score_i   subject to   sum_{i in S} saving_i >= least

is a 0-1 knapsack where the score of a set is the sum of its parts' (the additivity that LAPTOP-Diff observes, Zhang et
al. 2024, https://arxiv.org/abs/2404.11098). Dynamic programming over savings solves it; greedy is the baseline.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unetdiff.errors import InputError
from unetdiff.plain import require

__all__ = ["Candidate", "greedy", "knapsack", "shuffled"]

CELLS = 20_000
"""Savings are counted in units of the budget's part, rounded down: the sum of what is chosen saves enough in truth."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A part that can go: what it saves (parameters, multiply-accumulates, nanoseconds) and what going costs."""

    name: str
    saving: int
    score: float

    def __post_init__(self) -> None:
        require(self.saving >= 0, f"{self.name}: saving", "0 or more", self.saving)
        require(self.score >= 0, f"{self.name}: score", "a number of 0 or more", self.score)


def knapsack(candidates: Sequence[Candidate], least: int, cells: int = CELLS) -> tuple[str, ...]:
    """The parts of least total score that save at least `least`, in the order of the candidates.

    Exact for budgets up to `cells`; for larger ones savings are rounded down to multiples of least / cells, so that the
    result may save a little more than it would have to.

    Raises:
        InputError: all candidates together save less.
    """
    _require_reachable(candidates, least)
    unit = max(1, -(-least // cells))
    savings = [candidate.saving // unit for candidate in candidates]
    wanted = -(-least // unit)
    if sum(savings) < wanted:  # in whole units, even all are not enough
        return tuple(candidate.name for candidate in candidates)
    # cost[w]: the least score of a set, among the candidates so far, that saves w units or more
    cost = np.full(wanted + 1, np.inf)
    cost[0] = 0.0
    taken = np.zeros((len(candidates), wanted + 1), dtype=bool)
    remaining = np.arange(wanted + 1)
    for index, (candidate, saving) in enumerate(zip(candidates, savings, strict=True)):
        with_it = cost[np.maximum(remaining - saving, 0)] + candidate.score
        taken[index] = with_it < cost
        cost = np.where(taken[index], with_it, cost)
    chosen = []
    for index in reversed(range(len(candidates))):
        if taken[index, wanted]:
            chosen.append(candidates[index].name)
            wanted = max(wanted - savings[index], 0)
    return tuple(reversed(chosen))


def greedy(candidates: Sequence[Candidate], least: int) -> tuple[str, ...]:
    """One after the other by score per saving, until enough is saved; then those that were not needed stay after all.

    Raises:
        InputError: all candidates together save less.
    """
    by_price = sorted((c for c in candidates if c.saving > 0), key=lambda c: c.score / c.saving)
    chosen = _until_enough(by_price, candidates, least)
    return _without_needless(chosen, sorted(chosen, key=lambda c: -c.score), candidates, least)


def shuffled(candidates: Sequence[Candidate], least: int, seed: int) -> tuple[str, ...]:
    """At random until enough is saved, less those that were not needed: what a choice by scores is to be better than.

    Raises:
        InputError: all candidates together save less.
    """
    drawn = [candidates[index] for index in np.random.default_rng(seed).permutation(len(candidates))]
    chosen = _until_enough(drawn, candidates, least)
    return _without_needless(chosen, list(chosen), candidates, least)


def _until_enough(order: Sequence[Candidate], candidates: Sequence[Candidate], least: int) -> list[Candidate]:
    """The first of an order that together save enough."""
    _require_reachable(candidates, least)
    chosen: list[Candidate] = []
    for candidate in order:
        if sum(c.saving for c in chosen) >= least:
            break
        chosen.append(candidate)
    return chosen


def _without_needless(
    chosen: list[Candidate], order: Sequence[Candidate], candidates: Sequence[Candidate], least: int
) -> tuple[str, ...]:
    """The names of those chosen, in the order of the candidates, less those in `order` that the rest can spare."""
    for candidate in order:
        if sum(c.saving for c in chosen) - candidate.saving >= least:
            chosen.remove(candidate)
    names = {candidate.name for candidate in chosen}
    return tuple(candidate.name for candidate in candidates if candidate.name in names)


def _require_reachable(candidates: Sequence[Candidate], least: int) -> None:
    most = sum(candidate.saving for candidate in candidates)
    if least > most:
        raise InputError(f"budget: a saving of at most {most} can be reached, which all candidates give, got {least}")
