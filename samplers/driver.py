"""The sampling loop, the only one: from noise at sigmas[0] down to sigmas[-1].

It owns what no sampler should repeat: the dtype, no gradients, churn, the callback and progress.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers.sampler import Denoise, Noise, Sampler, State

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

    def __call__(self, x: Tensor, sigma: Tensor, steps: int, noise: Noise) -> tuple[Tensor, Tensor]:
        """Raise x from sigma to sigma_hat; draws at every step, inside [S_min, S_max] or not."""
        gamma = min(self.S_churn / steps, math.sqrt(2) - 1) if self.S_min <= sigma <= self.S_max else 0.0
        sigma_hat = sigma + gamma * sigma
        return x + (sigma_hat**2 - sigma**2).sqrt() * self.S_noise * noise(), sigma_hat


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a callback is told after a step."""

    index: int
    sigma: Tensor
    sigma_next: Tensor
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

    sigmas: strictly decreasing, mostly from `samplers.grids`; usually ends in 0.
    noise: the draws of a stochastic sampler or of `churn`, for instance a `PerImageNoise`.
    progress: wraps the range of step numbers; `tqdm.tqdm` will do.

    The state of the solver keeps x's dtype and device, the network's arguments have them too; coefficients are float64.
    """
    sigmas = _checked(sigmas)
    if noise is None and (sampler.stochastic or churn is not None):
        raise ValueError(f"noise: expected a source of noise for {churn if churn else sampler}, got None")

    steps = range(len(sigmas) - 1)
    state: State | None = None
    denoised = x

    def predict(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal denoised
        denoised = denoise(x, x.new_full((), float(sigma))).to(x.dtype)
        return denoised

    def draw() -> Tensor:
        assert noise is not None, f"{sampler} draws noise but is not declared stochastic"
        return noise().to(x)

    for index in progress(steps) if progress else steps:
        sigma, sigma_next = sigmas[index], sigmas[index + 1]
        if churn is not None:
            x, sigma = churn(x, sigma, len(steps), draw)
        x, state = sampler.step(predict, x, sigma, sigma_next, state, draw)
        if callback is not None:
            callback(Step(index=index, sigma=sigma, sigma_next=sigma_next, x=x, denoised=denoised))
    return x


def _checked(sigmas: Tensor) -> Tensor:
    if sigmas.ndim != 1 or len(sigmas) < 2:
        raise ValueError(f"sigmas: expected a vector of at least 2 noise levels, got shape {tuple(sigmas.shape)}")
    sigmas = sigmas.to("cpu", torch.float64)
    if not (sigmas.isfinite().all() and (sigmas.diff() < 0).all() and sigmas[-1] >= 0):
        raise ValueError(f"sigmas: expected finite, strictly decreasing noise levels >= 0, got {sigmas.tolist()}")
    return sigmas
