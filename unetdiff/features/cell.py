"""A cell of a sweep: a place in the network and a noise level."""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Cell", "cells_of"]


class Cell(NamedTuple):
    """A tap (see `unetdiff.tap_points`) at noise level sigma."""

    tap: str
    sigma: float

    def __str__(self) -> str:
        return f"{self.tap} at sigma {self.sigma:g}"


def cells_of(taps: Sequence[str], sigmas: Sequence[float]) -> tuple[Cell, ...]:
    """Every tap at every noise level, tap by tap."""
    return tuple(Cell(tap, sigma) for tap in taps for sigma in sigmas)
