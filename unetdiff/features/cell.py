"""A cell of a sweep: a place in the network and a noise level."""

from typing import NamedTuple

__all__ = ["Cell"]


class Cell(NamedTuple):
    """A tap (see `unetdiff.tap_points`) at noise level sigma."""

    tap: str
    sigma: float

    def __str__(self) -> str:
        return f"{self.tap} at sigma {self.sigma:g}"
