"""Training objectives: which noise levels a denoiser sees, and what an error weighs at each."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor
from typing_extensions import Unpack

from unetdiff.denoiser import Condition, Denoiser
from unetdiff.noise import DiscreteSchedule, log_normal
from unetdiff.plain import require
from unetdiff.preconditioning import EDM, Epsilon, Preconditioning

__all__ = ["EDMObjective", "EpsilonObjective", "Objective", "denoising_loss"]


class Objective(ABC):
    """A preconditioning with the training distribution of its noise levels and their weights."""

    @property
    @abstractmethod
    def preconditioning(self) -> Preconditioning:
        """What turns the network into a denoiser."""

    @abstractmethod
    def sigma(self, u: Tensor) -> Tensor:
        """Quantile function of the training noise levels: u in (0, 1), one number per image."""

    @abstractmethod
    def weight(self, sigma: Tensor) -> Tensor:
        """lambda(sigma), the factor on the squared error of the clean image."""


@dataclass(frozen=True, kw_only=True)
class EDMObjective(Objective):
    """Log-normal noise levels, weighted to unit loss at initialisation (Karras et al. 2022, section 5, equation 8)."""

    P_mean: float = -1.2
    P_std: float = 1.2
    sigma_data: float = 0.5
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        require(self.P_std > 0, "objective.P_std", "a positive number", self.P_std)

    @property
    def preconditioning(self) -> EDM:
        """EDM's."""
        return EDM(sigma_data=self.sigma_data, sigma_min=self.sigma_min, sigma_max=self.sigma_max)

    def sigma(self, u: Tensor) -> Tensor:
        """ln(sigma) ~ N(P_mean, P_std^2)."""
        return log_normal(u, self.P_mean, self.P_std)

    def weight(self, sigma: Tensor) -> Tensor:
        """1 / c_out^2 = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2."""
        return (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2


@dataclass(frozen=True, kw_only=True)
class EpsilonObjective(Objective):
    """Uniform timesteps and the plain squared error of the noise (Ho et al. 2020, equation 14, L_simple)."""

    schedule: DiscreteSchedule = DiscreteSchedule()

    @property
    def preconditioning(self) -> Epsilon:
        """Noise prediction on the schedule."""
        return Epsilon(schedule=self.schedule)

    def sigma(self, u: Tensor) -> Tensor:
        """Noise level of timestep floor(u T)."""
        timestep = (u * self.schedule.steps).long().clamp(max=self.schedule.steps - 1)
        return self.schedule.sigmas.to(u.device)[timestep].to(u.dtype)

    def weight(self, sigma: Tensor) -> Tensor:
        """1 / sigma^2: |eps - F|^2 = |x0 - D|^2 / sigma^2."""
        return sigma**-2


def denoising_loss(
    denoiser: Denoiser,
    objective: Objective,
    images: Tensor,
    noise: Tensor,
    sigma: Tensor,
    **condition: Unpack[Condition],
) -> Tensor:
    """lambda(sigma) times the mean squared error of the denoised image, for each image: (N,).

    `denoiser` may be a wrapped module (DDP, compiled). `images` and `noise` are (N, C, H, W), `sigma` is (N,).
    """
    denoised: Tensor = denoiser(images + sigma.to(images.dtype).reshape(-1, 1, 1, 1) * noise, sigma, **condition)
    error = (denoised - images).square().flatten(1).mean(dim=1)
    return objective.weight(sigma).to(error.dtype) * error
