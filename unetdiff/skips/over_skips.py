"""The factor rho of each skip connection, from the innermost (bottom) to the outermost (top).

rho_i = rho_bottom + (rho_top - rho_bottom) i / (k - 1),    i = 0 .. k - 1         (Ma et al. 2024, section 3)
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from unetdiff.config import UNetConfig
from unetdiff.plain import require

__all__ = ["EqualWidth", "Linear", "Listed", "OverSkips", "Uniform"]


class OverSkips(ABC):
    """A schedule over the skips of any network."""

    @abstractmethod
    def factors(self, config: UNetConfig) -> tuple[float, ...]:
        """One factor for each of `config.skips()`, in its order."""


@dataclass(frozen=True, kw_only=True)
class Uniform(OverSkips):
    """The same for all."""

    rho: float

    def __post_init__(self) -> None:
        _require_factor("rho", self.rho)

    def factors(self, config: UNetConfig) -> tuple[float, ...]:
        """Rho, as often as there are skips."""
        return (self.rho,) * len(config.skips())


@dataclass(frozen=True, kw_only=True)
class Linear(OverSkips):
    """From `rho_bottom` at the innermost skip to `rho_top` at the outermost, both included."""

    rho_bottom: float
    rho_top: float = 1.0

    def __post_init__(self) -> None:
        _require_factor("rho_bottom", self.rho_bottom)
        _require_factor("rho_top", self.rho_top)

    def factors(self, config: UNetConfig) -> tuple[float, ...]:
        """k equally spaced numbers; every network has at least two skips."""
        last = len(config.skips()) - 1
        return tuple((self.rho_bottom * (last - i) + self.rho_top * i) / last for i in range(last + 1))


@dataclass(frozen=True, kw_only=True)
class Listed(OverSkips):
    """Given one by one, innermost first."""

    rhos: tuple[float, ...]

    def __post_init__(self) -> None:
        for rho in self.rhos:
            _require_factor("rhos", rho)

    def factors(self, config: UNetConfig) -> tuple[float, ...]:
        """As given.

        Raises:
            ValueError: another number of factors than of skips.
        """
        count = len(config.skips())
        require(len(self.rhos) == count, "rhos", f"one factor for each of {count} skips", self.rhos)
        return self.rhos


@dataclass(frozen=True, kw_only=True)
class EqualWidth(OverSkips):
    """`schedule` at the skips as wide as the main path that they join, 1 at the others.

    A skip's factor is the one that its place among all skips gives it, not its place among the equally wide.
    """

    schedule: OverSkips

    def factors(self, config: UNetConfig) -> tuple[float, ...]:
        """The schedule's, or 1."""
        joins = [node for node in config.nodes() if node.skip_from is not None]
        factors = zip(joins, self.schedule.factors(config), strict=True)
        return tuple(rho if node.in_channels == node.skip_channels else 1.0 for node, rho in factors)


def _require_factor(field: str, rho: float) -> None:
    require(0 <= rho < math.inf, field, "a finite number, 0 or more", rho)
