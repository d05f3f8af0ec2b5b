"""Noise levels: discrete and continuous schedules, and what the number that a network is conditioned on means in sigma.

In sigma coordinates a noisy image is x = x0 + sigma eps. A variance-preserving schedule of signal level
alpha_bar = prod(1 - beta) (Ho et al. 2020, equation 4) sees sqrt(alpha_bar) x, where
sigma^2 = (1 - alpha_bar) / alpha_bar. A timestep is an index into such a schedule; between two indices, log sigma is
linear in the timestep.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from unetdiff.plain import require

__all__ = ["DiscreteSchedule", "IDDPMSchedule", "NoiseSchedule", "VPSchedule", "log_normal"]

# The signal level that stands for zero: sigma is 4096 there, and the image is lost in float32's rounding of the noise.
LEAST_ALPHA_BAR = 2.0**-24


def log_normal(u: Tensor, mean: float, std: float) -> Tensor:
    """Quantile function of the log-normal distribution: exp(mean + std Phi^-1(u))."""
    normal: Tensor = torch.special.ndtri(u)
    return (mean + std * normal).exp()


@dataclass(frozen=True, kw_only=True)
class DiscreteSchedule:
    """A table of `steps` betas, and with it of noise levels, from timestep 0 (least noise) up.

    linear: Ho et al. 2020, section 4. scaled_linear: linear in sqrt(beta) (Stable Diffusion). sigmoid: betas on a
    logistic curve over [-6, 6] (GeoDiff). cosine: Nichol & Dhariwal 2021, equation 17. exponential: alpha_bar is
    exp(-12 t). laplace: the log signal-to-noise ratio follows a Laplace distribution (Hang et al. 2024, as diffusers
    has it). table: the betas are those of `table`. `zero_terminal_snr` moves the last timestep to pure noise (Lin et
    al. 2023, algorithm 1); sigma stays finite there, at least 4096 and twice its neighbour's.
    """

    kind: Literal["linear", "scaled_linear", "sigmoid", "cosine", "exponential", "laplace", "table"] = "linear"
    steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    zero_terminal_snr: bool = False
    table: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        require(self.steps >= 2, "schedule.steps", "at least 2", self.steps)
        ordered = 0 < self.beta_start <= self.beta_end < 1
        require(ordered, "schedule.beta", "0 < beta_start <= beta_end < 1", (self.beta_start, self.beta_end))
        expected = f"{self.steps} betas between 0 and 1" if self.kind == "table" else "null without kind table"
        require(self._table_fits(), "schedule.table", expected, self.table)

    def _table_fits(self) -> bool:
        if self.table is None:
            return self.kind != "table"
        return self.kind == "table" and len(self.table) == self.steps and all(0 < beta < 1 for beta in self.table)

    @property
    @lru_cache  # noqa: B019  # by value; stored in the instance it would look like one more option of the command line
    def betas(self) -> Tensor:
        """(steps,) float64, before any rescaling to zero terminal SNR."""
        unit, (first, last) = torch.linspace(0, 1, self.steps, dtype=torch.float64), (self.beta_start, self.beta_end)
        match self.kind:
            case "linear":
                return first + (last - first) * unit
            case "scaled_linear":
                return (math.sqrt(first) + (math.sqrt(last) - math.sqrt(first)) * unit) ** 2
            case "sigmoid":
                return first + (last - first) * torch.sigmoid(12 * unit - 6)
            case "table":
                return torch.tensor(self.table, dtype=torch.float64)
            case "cosine" | "exponential" | "laplace":
                signal = self._signal(torch.arange(self.steps + 1, dtype=torch.float64) / self.steps)
                return (1 - signal[1:] / signal[:-1]).clamp(max=0.999)

    def _signal(self, t: Tensor) -> Tensor:
        """alpha_bar as a function of time from 0 to 1, up to a factor."""
        if self.kind == "cosine":
            return torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
        if self.kind == "exponential":
            return torch.exp(-12 * t)
        log_snr = torch.sign(t - 0.5) * 0.5 * torch.log(1 - 2 * (t - 0.5).abs() + 1e-6)
        return torch.sigmoid(log_snr).sqrt()

    @property
    @lru_cache  # noqa: B019  # by value; stored in the instance it would look like one more option of the command line
    def alphas_cumprod(self) -> Tensor:
        """alpha_bar: (steps,) float64."""
        alpha_bar = (1 - self.betas).cumprod(0)
        if self.zero_terminal_snr:
            root = alpha_bar.sqrt()
            alpha_bar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
            alpha_bar[-1] = min(LEAST_ALPHA_BAR, float(alpha_bar[-2]) / 4)
        return alpha_bar

    @property
    @lru_cache  # noqa: B019  # by value; stored in the instance it would look like one more option of the command line
    def sigmas(self) -> Tensor:
        """Noise level of each timestep: (steps,) float64, increasing."""
        return ((1 - self.alphas_cumprod) / self.alphas_cumprod).sqrt()

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Least and greatest noise level."""
        return float(self.sigmas[0]), float(self.sigmas[-1])

    def sigma(self, timestep: Tensor) -> Tensor:
        """Noise level of (fractional) timesteps, in float64."""
        return _interpolate(timestep.double(), self._indices(timestep), self.sigmas.log().to(timestep.device)).exp()

    def timestep(self, sigma: Tensor) -> Tensor:
        """The (fractional) timestep of noise levels, in float64; beyond the table its nearest end."""
        return _interpolate(sigma.double().log(), self.sigmas.log().to(sigma.device), self._indices(sigma))

    def _indices(self, like: Tensor) -> Tensor:
        return torch.arange(self.steps, dtype=torch.float64, device=like.device)


@dataclass(frozen=True, kw_only=True)
class VPSchedule:
    """The continuous variance-preserving schedule of Song et al. 2021 (Karras et al. 2022, table 1, column VP).

    sigma(t) = sqrt(exp(beta_d t^2 / 2 + beta_min t) - 1) for t in [epsilon_t, 1]; the timestep is (M - 1) t.
    """

    beta_d: float = 19.9
    beta_min: float = 0.1
    M: int = 1000
    epsilon_t: float = 1e-5

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Noise level at epsilon_t and at 1."""
        ends = self.sigma(torch.tensor([self.epsilon_t, 1.0], dtype=torch.float64) * (self.M - 1))
        return float(ends[0]), float(ends[1])

    def sigma(self, timestep: Tensor) -> Tensor:
        """Noise level of timesteps."""
        t = timestep.double() / (self.M - 1)
        return torch.expm1(0.5 * self.beta_d * t**2 + self.beta_min * t).sqrt()

    def timestep(self, sigma: Tensor) -> Tensor:
        """The timestep of noise levels: the root of the quadratic in t."""
        log_term = torch.log1p(sigma.double() ** 2)
        t = ((self.beta_min**2 + 2 * self.beta_d * log_term).sqrt() - self.beta_min) / self.beta_d
        return (self.M - 1) * t


@dataclass(frozen=True, kw_only=True)
class IDDPMSchedule:
    """The cosine schedule as Karras et al. 2022 state it (table 1, column iDDPM): a table u_0 > ... > u_M = 0.

    The timestep of a noise level is M - 1 - j for the nearest u_j.
    """

    C_1: float = 0.001
    C_2: float = 0.008
    M: int = 1000

    @property
    @lru_cache  # noqa: B019  # by value; stored in the instance it would look like one more option of the command line
    def sigmas(self) -> Tensor:
        """Noise level of each timestep: (M,) float64, increasing; the last entry of u, zero, is left out."""
        j = torch.arange(self.M + 1, dtype=torch.float64)
        alpha_bar = torch.sin(0.5 * math.pi * j / (self.M * (self.C_2 + 1))) ** 2
        ratios = (alpha_bar[:-1] / alpha_bar[1:]).clamp(min=self.C_1).flip(0)
        # u_{j-1}^2 + 1 = (u_j^2 + 1) / ratio, from u_M = 0
        return ((1 / ratios).cumprod(0) - 1).sqrt()

    @property
    def sigma_range(self) -> tuple[float, float]:
        """Least and greatest noise level."""
        return float(self.sigmas[0]), float(self.sigmas[-1])

    def sigma(self, timestep: Tensor) -> Tensor:
        """Noise level of whole timesteps."""
        return self.sigmas.to(timestep.device)[timestep.long()]

    def timestep(self, sigma: Tensor) -> Tensor:
        """The timestep whose noise level is nearest."""
        distance = (sigma.double().unsqueeze(-1) - self.sigmas.to(sigma.device)).abs()
        return distance.argmin(dim=-1).double()


NoiseSchedule = DiscreteSchedule | VPSchedule | IDDPMSchedule


def _interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Piecewise linear y(x) through increasing `xs`, constant beyond the ends, exact at the points."""
    right = torch.searchsorted(xs, x.contiguous()).clamp(1, len(xs) - 1)
    left = right - 1
    weight = ((x - xs[left]) / (xs[right] - xs[left])).clamp(0, 1)
    return torch.lerp(ys[left], ys[right], weight)
