"""What turns the output of a network into an estimate of the clean image (Karras et al. 2022, table 1).

Networks that predict the noise, the velocity, the score or the image differ in four functions of the noise level alone:
c_skip, c_out, c_in and c_noise. `unetdiff.denoiser` has the equation that they stand in.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unetdiff.elementwise import Level, log, on_tensor, sqrt
from unetdiff.noise import DiscreteSchedule, NoiseSchedule
from unetdiff.plain import from_plain, require, to_plain

__all__ = [
    "EDM",
    "VE",
    "X0",
    "Consistency",
    "EDMVelocity",
    "Epsilon",
    "Preconditioning",
    "RectifiedFlow",
    "Score",
    "V",
    "preconditioning_from_dict",
    "preconditioning_to_dict",
]


class Preconditioning(ABC):
    """The four functions of sigma, a number or a tensor of them, and the noise levels that they are meant for."""

    @property
    @abstractmethod
    def sigma_range(self) -> tuple[float, float]:
        """Least and greatest noise level to sample over."""

    @abstractmethod
    def c_skip(self, sigma: Level) -> Level:
        """Share of the noisy image in the estimate."""

    @abstractmethod
    def c_out(self, sigma: Level) -> Level:
        """Factor on the network's output."""

    @abstractmethod
    def c_in(self, sigma: Level) -> Level:
        """Factor on the network's input."""

    @abstractmethod
    def c_noise(self, sigma: Level) -> Level:
        """The number that the network is conditioned on."""


@dataclass(frozen=True, kw_only=True)
class EDM(Preconditioning):
    """Unit-variance input and target for data of standard deviation sigma_data (Karras et al. 2022, appendix B.6).

    The paper's `noise_scale` is 1/4; networks made for timesteps up to 1000 were given 1000 times that.
    """

    sigma_data: float = 0.5
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    noise_scale: float = 0.25

    def __post_init__(self) -> None:
        for field in ("sigma_data", "noise_scale"):
            require(getattr(self, field) > 0, field, "a positive number", getattr(self, field))
        _require_range(self.sigma_min, self.sigma_max)

    @property
    def sigma_range(self) -> tuple[float, float]:
        """As configured."""
        return self.sigma_min, self.sigma_max

    def c_skip(self, sigma: Level) -> Level:
        """sigma_data^2 / (sigma^2 + sigma_data^2)."""
        return self.sigma_data**2 / (sigma**2 + self.sigma_data**2)

    def c_out(self, sigma: Level) -> Level:
        """sigma sigma_data / sqrt(sigma^2 + sigma_data^2)."""
        return sigma * self.sigma_data / sqrt(sigma**2 + self.sigma_data**2)

    def c_in(self, sigma: Level) -> Level:
        """1 / sqrt(sigma^2 + sigma_data^2)."""
        return 1 / sqrt(sigma**2 + self.sigma_data**2)

    def c_noise(self, sigma: Level) -> Level:
        """noise_scale ln(sigma)."""
        return self.noise_scale * log(sigma)


@dataclass(frozen=True, kw_only=True)
class EDMVelocity(EDM):
    """EDM with the opposite target: for sigma_data = 1 that is v, conditioned on ln(sigma) (CosXL)."""

    def c_out(self, sigma: Level) -> Level:
        """-sigma sigma_data / sqrt(sigma^2 + sigma_data^2)."""
        return -super().c_out(sigma)


@dataclass(frozen=True, kw_only=True)
class Consistency(EDM):
    """EDM with the boundary condition D(x, sigma_min) = x of consistency models (Song et al. 2023, appendix C)."""

    noise_scale: float = 250.0

    def c_skip(self, sigma: Level) -> Level:
        """sigma_data^2 / ((sigma - sigma_min)^2 + sigma_data^2)."""
        return super().c_skip(sigma - self.sigma_min)

    def c_out(self, sigma: Level) -> Level:
        """(sigma - sigma_min) sigma_data / sqrt(sigma^2 + sigma_data^2)."""
        return (sigma - self.sigma_min) * self.sigma_data / sqrt(sigma**2 + self.sigma_data**2)


@dataclass(frozen=True, kw_only=True)
class VE(Preconditioning):
    """The network predicts minus the noise, of an unscaled input (Song et al. 2021; Karras et al. 2022, table 1)."""

    sigma_min: float = 0.02
    sigma_max: float = 100.0

    def __post_init__(self) -> None:
        _require_range(self.sigma_min, self.sigma_max)

    @property
    def sigma_range(self) -> tuple[float, float]:
        """As configured."""
        return self.sigma_min, self.sigma_max

    def c_skip(self, sigma: Level) -> Level:
        """1."""
        return sigma**0

    def c_out(self, sigma: Level) -> Level:
        """Sigma."""
        return sigma

    def c_in(self, sigma: Level) -> Level:
        """1."""
        return sigma**0

    def c_noise(self, sigma: Level) -> Level:
        """ln(sigma / 2)."""
        return log(sigma / 2)


@dataclass(frozen=True, kw_only=True)
class Score(VE):
    """The network gives the score, (x0 - x) / sigma^2, and is conditioned on sigma (Song et al. 2021, equation 7)."""

    sigma_min: float = 0.01
    sigma_max: float = 1348.0

    def c_out(self, sigma: Level) -> Level:
        """sigma^2."""
        return sigma**2

    def c_noise(self, sigma: Level) -> Level:
        """Sigma."""
        return sigma


@dataclass(frozen=True, kw_only=True)
class _VariancePreserving(Preconditioning):
    """Networks on sqrt(alpha_bar) x = x / sqrt(sigma^2 + 1), conditioned on a schedule's timestep, scaled."""

    schedule: NoiseSchedule = DiscreteSchedule()
    time_scale: float = 1.0

    def __post_init__(self) -> None:
        require(self.time_scale > 0, "time_scale", "a positive number", self.time_scale)

    @property
    def sigma_range(self) -> tuple[float, float]:
        """The schedule's ends."""
        return self.schedule.sigma_range

    def c_in(self, sigma: Level) -> Level:
        """1 / sqrt(sigma^2 + 1)."""
        return 1 / sqrt(sigma**2 + 1)

    def c_noise(self, sigma: Level) -> Level:
        """The schedule's timestep, scaled."""
        return on_tensor(lambda sigma: self.time_scale * self.schedule.timestep(sigma), sigma)


@dataclass(frozen=True, kw_only=True)
class Epsilon(_VariancePreserving):
    """The network predicts the noise: x0 = x - sigma eps (Ho et al. 2020)."""

    def c_skip(self, sigma: Level) -> Level:
        """1."""
        return sigma**0

    def c_out(self, sigma: Level) -> Level:
        """Minus sigma."""
        return -sigma


@dataclass(frozen=True, kw_only=True)
class V(_VariancePreserving):
    """The network predicts v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0 (Salimans & Ho 2022, appendix D)."""

    def c_skip(self, sigma: Level) -> Level:
        """1 / (sigma^2 + 1)."""
        return 1 / (sigma**2 + 1)

    def c_out(self, sigma: Level) -> Level:
        """-sigma / sqrt(sigma^2 + 1)."""
        return -sigma / sqrt(sigma**2 + 1)


@dataclass(frozen=True, kw_only=True)
class X0(_VariancePreserving):
    """The network predicts the clean image."""

    def c_skip(self, sigma: Level) -> Level:
        """0."""
        return 0 * sigma

    def c_out(self, sigma: Level) -> Level:
        """1."""
        return sigma**0


@dataclass(frozen=True, kw_only=True)
class RectifiedFlow(Preconditioning):
    """The network predicts the velocity eps - x0 at (1 - t) x0 + t eps (Liu et al. 2023), so sigma = t / (1 - t).

    It is conditioned on `time_scale` t. Pure noise, t = 1, would be an infinite sigma: t_max is as near as float32's
    rounding of the noise can tell.
    """

    time_scale: float = 1000.0
    t_min: float = 1e-3
    t_max: float = 1 - 2.0**-12

    def __post_init__(self) -> None:
        ordered = 0 < self.t_min < self.t_max < 1
        require(ordered, "t_min, t_max", "0 < t_min < t_max < 1", (self.t_min, self.t_max))

    @property
    def sigma_range(self) -> tuple[float, float]:
        """t / (1 - t) at the ends."""
        return self.t_min / (1 - self.t_min), self.t_max / (1 - self.t_max)

    def c_skip(self, sigma: Level) -> Level:
        """1 - t."""
        return 1 / (1 + sigma)

    def c_out(self, sigma: Level) -> Level:
        """Minus t."""
        return -sigma / (1 + sigma)

    def c_in(self, sigma: Level) -> Level:
        """1 - t."""
        return 1 / (1 + sigma)

    def c_noise(self, sigma: Level) -> Level:
        """Time, scaled."""
        return self.time_scale * sigma / (1 + sigma)


def _require_range(sigma_min: float, sigma_max: float) -> None:
    ordered = 0 < sigma_min < sigma_max
    require(ordered, "sigma_min, sigma_max", "0 < sigma_min < sigma_max", (sigma_min, sigma_max))


_KINDS = {kind.__name__: kind for kind in (EDM, EDMVelocity, Consistency, VE, Score, Epsilon, V, X0, RectifiedFlow)}


def preconditioning_to_dict(preconditioning: Preconditioning) -> dict[str, Any]:
    """Plain values for `denoiser.json`: the fields and the kind."""
    return {"kind": type(preconditioning).__name__, **to_plain(preconditioning)}


def preconditioning_from_dict(values: Mapping[str, Any]) -> Preconditioning:
    """Inverse of `preconditioning_to_dict`.

    Raises:
        ValueError: an unknown kind or field; the message names it.
    """
    require(isinstance(values, Mapping), "preconditioning", "an object", values)
    kind = values.get("kind")
    require(kind in _KINDS, "preconditioning.kind", f"one of {list(_KINDS)}", kind)
    fields = {name: value for name, value in values.items() if name != "kind"}
    return from_plain(_KINDS[str(kind)], fields, "preconditioning")
