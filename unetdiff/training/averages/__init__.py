"""Averages of the weights along the training: an `EMA` says which, `AveragedWeights` follows the network with them."""

from unetdiff.training.averages.ema import EMA
from unetdiff.training.averages.exponential import HalfLifeEMA, InversePowerEMA, WarmupEMA
from unetdiff.training.averages.power import PowerEMA
from unetdiff.training.averages.weights import AveragedWeights

__all__ = ["EMA", "AveragedWeights", "HalfLifeEMA", "InversePowerEMA", "PowerEMA", "WarmupEMA"]
