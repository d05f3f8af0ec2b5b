"""The objectives of DDPM: uniform timesteps of a table of betas, and three things that a network can predict."""

from dataclasses import dataclass

from torch import Tensor

from unetdiff.losses.objective import Objective
from unetdiff.noise import DiscreteSchedule
from unetdiff.preconditioning import X0, Epsilon, V

__all__ = ["DiscreteObjective", "EpsilonObjective", "VObjective", "X0Objective"]


@dataclass(frozen=True, kw_only=True)
class DiscreteObjective(Objective):
    """Uniform timesteps of a schedule."""

    schedule: DiscreteSchedule = DiscreteSchedule()

    def sigma(self, u: Tensor) -> Tensor:
        """Noise level of timestep floor(u T)."""
        timestep = (u * self.schedule.steps).long().clamp(max=self.schedule.steps - 1)
        return self.schedule.sigmas.to(u.device)[timestep].to(u.dtype)


@dataclass(frozen=True, kw_only=True)
class EpsilonObjective(DiscreteObjective):
    """The squared error of the noise (Ho et al. 2020, equation 14, L_simple): lambda = 1 / sigma^2."""

    @property
    def preconditioning(self) -> Epsilon:
        """Noise prediction on the schedule."""
        return Epsilon(schedule=self.schedule)


@dataclass(frozen=True, kw_only=True)
class VObjective(DiscreteObjective):
    """The squared error of v (Salimans & Ho 2022, section 4): lambda = 1 + 1 / sigma^2, "SNR+1"."""

    @property
    def preconditioning(self) -> V:
        """Prediction of v on the schedule."""
        return V(schedule=self.schedule)


@dataclass(frozen=True, kw_only=True)
class X0Objective(DiscreteObjective):
    """The squared error of the clean image: lambda = 1."""

    @property
    def preconditioning(self) -> X0:
        """Prediction of the image on the schedule."""
        return X0(schedule=self.schedule)
