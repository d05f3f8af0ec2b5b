"""The objective of rectified flow (Liu et al. 2023), with distributions of its time (Esser et al. 2024, section 3.1).

At time t the network sees (1 - t) x0 + t eps and predicts eps - x0, so sigma = t / (1 - t) and lambda = 1 / t^2.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from unetdiff.losses.objective import Objective
from unetdiff.noise import log_normal
from unetdiff.plain import require
from unetdiff.preconditioning import RectifiedFlow

__all__ = ["LogitNormal", "RectifiedFlowObjective", "Times", "Uniform"]


class Times(ABC):
    """A distribution of the time t, told as one of sigma = t / (1 - t)."""

    @abstractmethod
    def sigma(self, u: Tensor) -> Tensor:
        """Quantile function of the noise level, elementwise."""


@dataclass(frozen=True)
class Uniform(Times):
    """t ~ U(0, 1)."""

    def sigma(self, u: Tensor) -> Tensor:
        """u / (1 - u)."""
        return u / (1 - u)


@dataclass(frozen=True, kw_only=True)
class LogitNormal(Times):
    """logit(t) ~ N(mean, std^2) (Esser et al. 2024, equation 19): as logit(t) = ln(sigma), sigma is log-normal."""

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        require(self.std > 0, "times.std", "a positive number", self.std)

    def sigma(self, u: Tensor) -> Tensor:
        """exp(mean + std Phi^-1(u))."""
        return log_normal(u, self.mean, self.std)


@dataclass(frozen=True, kw_only=True)
class RectifiedFlowObjective(Objective):
    """The squared error of the velocity; times beyond [t_min, t_max] train its ends."""

    times: Times = LogitNormal()
    time_scale: float = 1000.0
    t_min: float = 1e-3
    t_max: float = 1 - 2.0**-12

    @property
    def preconditioning(self) -> RectifiedFlow:
        """Rectified flow's."""
        return RectifiedFlow(time_scale=self.time_scale, t_min=self.t_min, t_max=self.t_max)

    def sigma(self, u: Tensor) -> Tensor:
        """As `times` says."""
        low, high = self.preconditioning.sigma_range
        return self.times.sigma(u).clamp(low, high)
