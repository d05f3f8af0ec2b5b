"""Averages with a power function as profile, as wide at any time as the training is long (Karras et al. 2024, EDM2).

    theta_gamma(t) = (gamma + 1) / t^(gamma + 1)  int_0^t tau^gamma theta(tau) dtau         (section 3.1)
    d_t = (1 - 1 / t)^(gamma + 1), after t = 1, 2, ... optimiser steps

Weights that change in steps, theta(tau) = theta_i for i - 1 < tau <= i, make these equal, not just close: after t
steps theta_i has the share (i^(gamma + 1) - (i - 1)^(gamma + 1)) / t^(gamma + 1) in both.
Steps that `on_nonfinite: skip` left out are not averaged: the profile then has a gap.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from unetdiff.plain import require
from unetdiff.training.averages.ema import EMA

__all__ = ["PowerEMA", "exponent", "require_width"]

WIDEST = 12**-0.5  # the standard deviation of a uniform profile, gamma = 0


@cache
def exponent(width: float) -> float:
    """gamma of a profile whose standard deviation is `width` = sigma_rel times the length of the training.

    sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)), solved for the largest gamma.
    """
    roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
    return float(roots.real.max())


def require_width(width: float, field: str) -> None:
    """Raise ValueError for a width that no power function with gamma > 0 has."""
    require(0 < width < WIDEST, field, f"a width above 0 and below {WIDEST:.4f}", width)


@dataclass(frozen=True, kw_only=True)
class PowerEMA(EMA):
    """A power-function average of each of `widths` (sigma_rel), the relative standard deviation of its profile.

    `model_width` is the one of the model folder; null: the first. Every `snapshot_every` steps (0: never) all are
    stored as `snapshot_dtype`; any other width can be made of them after the training (`unetdiff ema`).
    """

    widths: tuple[float, ...] = (0.05, 0.10)
    model_width: float | None = None
    snapshot_every: int = 0
    snapshot_dtype: Literal["float16", "float32"] = "float16"

    def __post_init__(self) -> None:
        distinct = len(self.widths) > 0 and len(set(self.names)) == len(self.widths)
        require(distinct, "ema.widths", "one or more different numbers", self.widths)
        for width in self.widths:
            require_width(width, "ema.widths")
        chosen = self.model_width is None or self.model_width in self.widths
        require(chosen, "ema.model_width", f"one of the widths {self.widths} or null", self.model_width)
        require(self.snapshot_every >= 0, "ema.snapshot_every", "0 or more", self.snapshot_every)

    @property
    def names(self) -> tuple[str, ...]:
        """`ema-` and the width."""
        return tuple(_name(width) for width in self.widths)

    @property
    def chosen(self) -> str:
        """The average of `model_width`."""
        return self.names[0] if self.model_width is None else _name(self.model_width)

    def decays(self, t: int) -> tuple[float, ...]:
        """(1 - 1 / (t + 1))^(gamma + 1) for each width: the first update leaves nothing of the initialisation."""
        return tuple((t / (t + 1)) ** (exponent(width) + 1) for width in self.widths)


def _name(width: float) -> str:
    return f"ema-{width:g}"
