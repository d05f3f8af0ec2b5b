"""Noise levels to sample at: n decreasing float64 sigmas, then 0.

What each spaces evenly, and where it comes from:

    karras             sigma^(1/rho)                          Karras et al. 2022, equation (5)
    exponential        log sigma                              k-diffusion
    logsnr             the same: log SNR is -2 log sigma      Lu et al. 2022
    polyexponential    (log sigma - log sigma_min)^(1/rho)    k-diffusion
    vp                 the time of the VP SDE                 Karras et al. 2022, table 1
    uniform_timesteps  the timesteps of a discrete schedule   Lin et al. 2024, table 2
    given              the entries of a list, interpolated    Sabour et al. 2024

https://arxiv.org/abs/2206.00364, https://github.com/crowsonkb/k-diffusion, https://arxiv.org/abs/2206.00927,
https://arxiv.org/abs/2305.08891, https://arxiv.org/abs/2404.14507
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

__all__ = [
    "AYS_SD",
    "AYS_SDXL",
    "AYS_SVD",
    "Spacing",
    "exponential",
    "given",
    "karras",
    "logsnr",
    "polyexponential",
    "uniform_timesteps",
    "vp",
]

Spacing = Literal["leading", "linspace", "trailing"]

AYS_SD = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152)
"""Align your steps, 10 steps of Stable Diffusion 1.5; as published and as in diffusers' AysSchedules, without the 0."""

AYS_SDXL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113)
"""Align your steps, 10 steps of Stable Diffusion XL."""

AYS_SVD = (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034)
"""Align your steps, 10 steps of Stable Video Diffusion."""


def karras(n: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> Tensor:
    """sigma_i = (sigma_max^(1/rho) + i/(n-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho."""
    _check_range(n, sigma_min, sigma_max, rho)
    return _with_zero(_ramp(sigma_max ** (1 / rho), sigma_min ** (1 / rho), n) ** rho)


def exponential(n: int, sigma_min: float, sigma_max: float) -> Tensor:
    """sigma_i = sigma_max (sigma_min / sigma_max)^(i/(n-1))."""
    return polyexponential(n, sigma_min, sigma_max, rho=1.0)


logsnr = exponential


def polyexponential(n: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> Tensor:
    """sigma_i = sigma_min (sigma_max / sigma_min)^((1 - i/(n-1))^rho)."""
    _check_range(n, sigma_min, sigma_max, rho)
    return _with_zero(sigma_min * (sigma_max / sigma_min) ** _ramp(1.0, 0.0, n) ** rho)


def vp(n: int, beta_d: float = 19.9, beta_min: float = 0.1, eps_s: float = 1e-3) -> Tensor:
    """sigma(t) = sqrt(exp(beta_d t^2 / 2 + beta_min t) - 1) at n times from 1 down to eps_s."""
    _check_count(n)
    if not 0 < eps_s < 1:
        raise ValueError(f"eps_s: expected a number between 0 and 1, got {eps_s}")
    t = _ramp(1.0, eps_s, n)
    return _with_zero(torch.expm1(beta_d * t**2 / 2 + beta_min * t).sqrt())


def uniform_timesteps(table: Tensor, n: int, spacing: Spacing = "leading", offset: int = 0) -> Tensor:
    """Pick n evenly spaced timesteps of a discrete schedule, rounded as diffusers' DDPM and DDIM schedulers round.

    `table[t]` is the sigma of timestep t, ascending. "linspace" includes both ends, "leading" the first timestep and
    "trailing" the last. `offset` shifts "leading" (diffusers' steps_offset; Stable Diffusion uses 1).
    """
    _check_count(n)
    T = len(table)
    if n > T:
        raise ValueError(f"n: expected at most the {T} timesteps of the table, got {n}")
    timesteps = _timesteps(T, n, spacing) + (offset if spacing == "leading" else 0)
    first, last = int(timesteps[0]), int(timesteps[-1])
    if not 0 <= last <= first < T:
        raise ValueError(f"offset: expected timesteps from 0 to {T - 1}, got {last} to {first}")
    return _with_zero(table.to("cpu", torch.float64)[timesteps])


def given(n: int, levels: Sequence[float]) -> Tensor:
    """Read n levels off a falling list, its ends among them, linear in log sigma between the entries.

    As many steps as entries give the list itself; the entries are positive, the 0 is added.
    """
    _check_count(n)
    table = torch.tensor(levels, dtype=torch.float64)
    if len(table) < 2 or not (table.isfinite().all() and (table > 0).all() and (table.diff() < 0).all()):
        raise ValueError(f"levels: expected at least 2 falling noise levels > 0, got {list(levels)}")
    place = _ramp(0.0, len(table) - 1.0, n)
    left = place.floor().long().clamp(max=len(table) - 2)
    return _with_zero(torch.lerp(table[left].log(), table[left + 1].log(), place - left).exp())


def _timesteps(length: int, n: int, spacing: Spacing) -> Tensor:
    """Return n of the timesteps 0..length-1, descending."""
    i = torch.arange(n, dtype=torch.float64)
    match spacing:
        case "leading":
            t = i.flip(0) * (length // n)
        case "linspace":
            t = i.flip(0) * ((length - 1) / max(n - 1, 1))
        case "trailing":
            step = length - (length - length / n)  # numpy.arange's step, which decides ties
            t = (length - i * step).round() - 1
        case _:
            raise ValueError(f"spacing: expected 'leading', 'linspace' or 'trailing', got {spacing!r}")
    return t.round().long()


def _ramp(first: float, last: float, n: int) -> Tensor:
    return torch.linspace(first, last, n, dtype=torch.float64)


def _with_zero(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def _check_count(n: int) -> None:
    if n < 1:
        raise ValueError(f"n: expected at least 1 step, got {n}")


def _check_range(n: int, sigma_min: float, sigma_max: float, rho: float) -> None:
    _check_count(n)
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(f"sigma_min, sigma_max: expected 0 < sigma_min < sigma_max, got {sigma_min}, {sigma_max}")
    if not 0 < rho < math.inf:
        raise ValueError(f"rho: expected a positive number, got {rho}")
