"""How much of skip-tuning acts at which noise level (Ma et al. 2024, section 5.2).

    rho(sigma) = 1 + s(sigma) (rho - 1)

The share s is 1 where the schedule over the skips acts in full, 0 where the network is left as it is.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from unetdiff.elementwise import Level, clamp, log
from unetdiff.plain import require
from unetdiff.preconditioning import Preconditioning

__all__ = ["Constant", "Decreasing", "Increasing", "OverSigma", "Window", "suited_to"]


class OverSigma(ABC):
    """A schedule over the noise levels between `sigma_range`'s least and greatest."""

    @abstractmethod
    def share(self, sigma: Level, sigma_range: tuple[float, float]) -> Level:
        """s(sigma) from 0 to 1, elementwise."""


@dataclass(frozen=True)
class Constant(OverSigma):
    """rho at all noise levels."""

    def share(self, sigma: Level, sigma_range: tuple[float, float]) -> Level:
        """1."""
        return sigma**0


@dataclass(frozen=True, kw_only=True)
class Window(OverSigma):
    """rho for sigma in [sigma_lo, sigma_hi], 1 elsewhere."""

    sigma_lo: float
    sigma_hi: float

    def __post_init__(self) -> None:
        ordered = 0 <= self.sigma_lo < self.sigma_hi
        require(ordered, "sigma_lo, sigma_hi", "0 <= sigma_lo < sigma_hi", (self.sigma_lo, self.sigma_hi))

    def share(self, sigma: Level, sigma_range: tuple[float, float]) -> Level:
        """1 inside, both ends included."""
        return ((sigma >= self.sigma_lo) & (sigma <= self.sigma_hi)) * sigma**0


@dataclass(frozen=True)
class Increasing(OverSigma):
    """From rho at the least noise level to 1 at the greatest, linear in log sigma."""

    def share(self, sigma: Level, sigma_range: tuple[float, float]) -> Level:
        """1 at the least noise level."""
        return 1 - _position(sigma, sigma_range)


@dataclass(frozen=True)
class Decreasing(OverSigma):
    """From 1 at the least noise level to rho at the greatest, linear in log sigma."""

    def share(self, sigma: Level, sigma_range: tuple[float, float]) -> Level:
        """1 at the greatest noise level."""
        return _position(sigma, sigma_range)


def suited_to(preconditioning: Preconditioning) -> OverSigma:
    """The direction in which rho is small where the network's own task is hard.

    Noise prediction (c_skip = 1: Epsilon, VE, Score) is hard at low sigma, so rho increases. Where c_skip vanishes at
    high sigma the network makes the image itself there: X0 and EDM, for which the paper found the decreasing
    schedule, V, which is EDM of sigma_data = 1 but for the sign, and RectifiedFlow, whose velocity eps - x0 likewise
    holds an x0 that nothing but the network knows at high sigma.
    """
    _, sigma_max = preconditioning.sigma_range
    return Decreasing() if preconditioning.c_skip(sigma_max) < 0.5 else Increasing()


def _position(sigma: Level, sigma_range: tuple[float, float]) -> Level:
    """Place of log sigma in the range: 0 at the least noise level or below, 1 at the greatest or above."""
    low, high = (math.log(end) for end in sigma_range)
    return clamp((log(sigma) - low) / (high - low), 0.0, 1.0)
