"""Weights lambda(sigma) on the squared error of the clean image, the same whatever the network predicts.

With SNR = 1 / sigma^2, the signal-to-noise ratio of x0 + sigma eps for data of unit scale, a weight lambda(sigma) on
|x0 - D|^2 is lambda c_out^2 on the squared error of the network's output F:

    prediction   c_out^2         min-SNR in F
    epsilon      1 / SNR         min(SNR, gamma) / SNR
    v            1 / (SNR + 1)   min(SNR, gamma) / (SNR + 1)
    x0           1               min(SNR, gamma)
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from unetdiff.plain import require
from unetdiff.preconditioning import EDM

__all__ = ["EDMWeighting", "MinSNR", "SoftMinSNR", "Weighting"]


class Weighting(ABC):
    """A weight for each noise level."""

    @abstractmethod
    def weight(self, sigma: Tensor) -> Tensor:
        """lambda(sigma), the factor on the squared error of the clean image, elementwise."""


@dataclass(frozen=True, kw_only=True)
class EDMWeighting(Weighting):
    """1 / c_out^2 of an EDM network (Karras et al. 2022, table 1), whatever the network is."""

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        require(self.sigma_data > 0, "weighting.sigma_data", "a positive number", self.sigma_data)

    def weight(self, sigma: Tensor) -> Tensor:
        """(sigma^2 + sigma_data^2) / (sigma sigma_data)^2."""
        return EDM(sigma_data=self.sigma_data).c_out(sigma) ** -2


@dataclass(frozen=True, kw_only=True)
class MinSNR(Weighting):
    """min(SNR, gamma): low noise levels weigh no more than gamma (Hang et al. 2023, section 3.4)."""

    gamma: float = 5.0

    def __post_init__(self) -> None:
        _require_positive(self.gamma)

    def weight(self, sigma: Tensor) -> Tensor:
        """min(sigma^-2, gamma)."""
        return (sigma**-2).clamp(max=self.gamma)


@dataclass(frozen=True, kw_only=True)
class SoftMinSNR(Weighting):
    """SNR gamma / (SNR + gamma), a smooth minimum (Crowson et al. 2024, HDiT).

    With gamma = 1 / sigma_data^2 an EDM network's output has weight (sigma sigma_data)^2 / (sigma^2 + sigma_data^2)^2.
    """

    gamma: float = 4.0

    def __post_init__(self) -> None:
        _require_positive(self.gamma)

    def weight(self, sigma: Tensor) -> Tensor:
        """1 / (sigma^2 + 1 / gamma)."""
        return 1 / (sigma**2 + 1 / self.gamma)


def _require_positive(gamma: float) -> None:
    require(gamma > 0, "weighting.gamma", "a positive number", gamma)
