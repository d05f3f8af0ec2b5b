"""How much of a network is to be kept: a share of its parameters, of its multiply-accumulates or of its time."""

import math
from dataclasses import dataclass
from typing import Literal

from unetdiff.errors import InputError
from unetdiff.plain import require

__all__ = ["Budget", "Unit"]

Unit = Literal["parameters", "macs", "latency"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """At most `keep` of `total`, what the network costs as it is: parameters, MACs of an image, or nanoseconds."""

    unit: Unit
    keep: float
    total: int

    def __post_init__(self) -> None:
        require(0 < self.keep <= 1, "keep", "a share above 0, at most 1", self.keep)

    @property
    def least(self) -> int:
        """What has to be saved; rounded up."""
        return self.total - math.floor(self.keep * self.total)

    def require_reachable(self, most: int) -> None:
        """Refuse a budget for which even the greatest saving is too little.

        Raises:
            InputError: with the smallest share that can be kept.
        """
        if self.least > most:
            smallest = math.ceil((self.total - most) / self.total * 1e4) / 1e4
            raise InputError(
                f"keep: {smallest:g} or more of the {self.unit} expected, which remain without all parts that may go, "
                f"got {self.keep:g}"
            )
