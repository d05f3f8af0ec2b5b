"""Exponential averages, whose factor rises to its final value so that early averages forget the initialisation."""

from dataclasses import dataclass

from unetdiff.plain import require
from unetdiff.training.averages.ema import EMA

__all__ = ["HalfLifeEMA", "InversePowerEMA", "WarmupEMA"]


@dataclass(frozen=True, kw_only=True)
class WarmupEMA(EMA):
    """d_t = min(decay, (1 + t) / (10 + t)), the ramp of TensorFlow's `ExponentialMovingAverage`."""

    decay: float = 0.999

    def __post_init__(self) -> None:
        require(0 <= self.decay < 1, "ema.decay", "a number in [0, 1)", self.decay)

    def decays(self, t: int) -> tuple[float, ...]:
        """The one factor."""
        return (min(self.decay, (1 + t) / (10 + t)),)


@dataclass(frozen=True, kw_only=True)
class InversePowerEMA(EMA):
    """d_t = min(decay, 1 - (1 + t)^-power), the warm-up of k-diffusion (K. Crowson) and of diffusers.

    Power 1 is the plain mean of all weights so far until d_t reaches `decay`; 2/3 suits runs of a million steps and
    more, 3/4 shorter ones.
    """

    decay: float = 0.999
    power: float = 2 / 3

    def __post_init__(self) -> None:
        require(0 <= self.decay < 1, "ema.decay", "a number in [0, 1)", self.decay)
        require(self.power > 0, "ema.power", "a positive number", self.power)

    def decays(self, t: int) -> tuple[float, ...]:
        """The one factor."""
        return (min(self.decay, 1 - (1 + t) ** -self.power),)


@dataclass(frozen=True, kw_only=True)
class HalfLifeEMA(EMA):
    """d_t = 2^(-1 / h) with the half-life h = min(half_life, rampup t) in optimiser steps (Karras et al. 2022, EDM).

    `half_life` times the batch size is EDM's count in images.
    """

    half_life: float = 1000.0
    rampup: float = 0.05

    def __post_init__(self) -> None:
        require(self.half_life > 0, "ema.half_life", "a positive number of steps", self.half_life)
        require(self.rampup > 0, "ema.rampup", "a positive number", self.rampup)

    def decays(self, t: int) -> tuple[float, ...]:
        """The one factor, 0 at the first update."""
        return (0.5 ** (1 / min(self.half_life, self.rampup * t)) if t else 0.0,)
