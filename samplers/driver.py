"""The sampling loop, the only one: from noise at sigmas[0] to sigmas[-1].

It owns what no sampler should repeat: the dtype, no gradients, noise from outside (churn, the rises of a grid with
restarts), the callback and progress.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from samplers.sampler import Denoise, Noise, Sampler, Sigma, State

__all__ = ["Churn", "Step", "sample"]


@dataclass(frozen=True, kw_only=True)
class Churn:
    """Noise added before a step: Karras et al. 2022 (https://arxiv.org/abs/2206.00364), algorithm 2, lines 4 to 6.

    The noise level rises by the factor 1 + gamma, gamma = min(S_churn / N, sqrt(2) - 1), while S_min <= sigma <= S_max;
    S_noise is the standard deviation of what is added, slightly above 1 against the denoiser's loss of detail.
    """

    S_churn: float
    S_min: float = 0.0
    S_max: float = math.inf
    S_noise: float = 1.0

    def __post_init__(self) -> None:
        if not self.S_churn >= 0:
            raise ValueError(f"S_churn: expected a number >= 0, got {self.S_churn}")
        if not 0 <= self.S_min <= self.S_max:
            raise ValueError(f"S_min, S_max: expected 0 <= S_min <= S_max, got {self.S_min}, {self.S_max}")
        if not self.S_noise >= 0:
            raise ValueError(f"S_noise: expected a number >= 0, got {self.S_noise}")

    def __call__(self, x: Tensor, sigma: float, steps: int, noise: Noise) -> tuple[Tensor, float]:
        """Raise x from sigma to sigma_hat; draws at every step, inside [S_min, S_max] or not."""
        gamma = min(self.S_churn / steps, math.sqrt(2) - 1) if self.S_min <= sigma <= self.S_max else 0.0
        sigma_hat = sigma + gamma * sigma
        return x + math.sqrt(sigma_hat**2 - sigma**2) * self.S_noise * noise(), sigma_hat


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a callback is told after a step."""

    index: int
    sigma: float
    sigma_next: float
    x: Tensor
    """Image at noise level sigma_next."""
    denoised: Tensor
    """The step's last prediction of the clean image."""


@torch.no_grad()
def sample(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    sampler: Sampler[State],
    *,
    noise: Noise | None = None,
    churn: Churn | None = None,
    callback: Callable[[Step], object] | None = None,
    progress: Callable[[range], Iterable[int]] | None = None,
) -> Tensor:
    """Take x, an image or pure noise at noise level sigmas[0], to noise level sigmas[-1].

    sigmas: mostly from `samplers.grids`; falls, and usually ends in 0. Where it rises on the way, noise is added
        (see `samplers.restart`). Only a sampler that ascends wants a rising grid.
    noise: the draws of a stochastic sampler, of `churn` or of restarts, for instance a `PerImageNoise`.
    progress: wraps the range of step numbers; `tqdm.tqdm` will do.

    The state of the solver keeps x's dtype and device; noise levels and coefficients are numbers, exact to float64.
    """
    levels = _checked(sigmas, sampler.ascends)
    restarts = not sampler.ascends and _first_rise(levels) < len(levels)
    if noise is None and (sampler.stochastic or churn is not None or restarts):
        needs_noise = churn or ("a grid with restarts" if restarts else sampler)
        raise ValueError(f"noise: expected a source of noise for {needs_noise}, got None")

    steps = range(len(levels) - 1)
    state: State | None = None
    denoised = x

    def predict(x: Tensor, sigma: Sigma) -> Tensor:
        nonlocal denoised
        denoised = denoise(x, sigma).to(x.dtype)
        return denoised

    def draw() -> Tensor:
        assert noise is not None, f"{sampler} draws noise but is not declared stochastic"
        return noise().to(x)

    for index in progress(steps) if progress else steps:
        sigma, sigma_next = levels[index], levels[index + 1]
        if restarts and sigma_next > sigma:
            x, state = x + math.sqrt(sigma_next**2 - sigma**2) * draw(), None
        else:
            if churn is not None:
                x, sigma = churn(x, sigma, len(steps), draw)
            if state is None or sigma > levels[index]:
                descent = levels[index:]
                state = sampler.start(descent[: _first_rise(descent)] if restarts else descent)
            x, state = sampler.step(predict, x, sigma, sigma_next, state, draw)
        if callback is not None:
            callback(Step(index=index, sigma=sigma, sigma_next=sigma_next, x=x, denoised=denoised))
    return x


def _checked(sigmas: Tensor, ascending: bool) -> list[float]:
    if sigmas.ndim != 1 or len(sigmas) < 2:
        raise ValueError(f"sigmas: expected a vector of at least 2 noise levels, got shape {tuple(sigmas.shape)}")
    sigmas = sigmas.to("cpu", torch.float64)
    changes, levels = sigmas.diff(), sigmas.tolist()
    monotone = (changes > 0).all() if ascending else changes[0] < 0 and changes[-1] < 0 and (changes != 0).all()
    if not (sigmas.isfinite().all() and (sigmas >= 0).all() and monotone):
        expected = "rising noise levels >= 0" if ascending else "noise levels >= 0 that fall, restarts excepted"
        raise ValueError(f"sigmas: expected finite, {expected}, got {levels}")
    return levels


def _first_rise(levels: Sequence[float]) -> int:
    """Index of the first level above the one before it, the number of levels where there is none."""
    return next((index for index, (before, level) in enumerate(pairwise(levels), 1) if level > before), len(levels))
