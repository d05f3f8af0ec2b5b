"""Guidance: away from what a poorer denoiser predicts.

    D = D_1 + (w - 1) (D_1 - D_0)

D_1 is to be improved; the method has its name from D_0:

    the network without its condition      classifier-free guidance    Ho & Salimans 2022, equation (6), weight w - 1
    the network with an unwanted one       negative prompt
    a smaller or less trained network      autoguidance                Karras et al. 2024

w is 1 outside an interval of noise levels (Kynkäänniemi et al. 2024), where D_0 is not computed. Extrapolation raises
the contrast; rescaling gives every image the standard deviation that it has in D_1 back (Lin et al. 2024, section 3.4).

https://arxiv.org/abs/2207.12598, https://arxiv.org/abs/2406.02507, https://arxiv.org/abs/2404.07724,
https://arxiv.org/abs/2305.08891
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from samplers.conditions import joined
from samplers.sampler import Denoise, Sigma

__all__ = ["Guidance", "Weight", "guided", "guided_in_one_call"]

Weight = float | Tensor | Callable[[Sigma], float | Tensor]
"""One number, one per image (N,), or a function of sigma."""

Pair = Callable[[Tensor, Sigma], tuple[Tensor, Tensor]]
"""`pair(x, sigma) -> (D_1, D_0)`."""

EVERYWHERE = (0.0, math.inf)


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """How far to go, at which noise levels, and how much of the contrast to take back.

    weight: w; 1 is none, larger follows the condition more closely.
    interval: noise levels, lowest excluded and highest included.
    rescale: phi, from 0 (leave the contrast) to 1 (that of D_1).
    """

    weight: Weight
    interval: tuple[float, float] = EVERYWHERE
    rescale: float = 0.0

    def __post_init__(self) -> None:
        if not callable(self.weight) and not torch.as_tensor(self.weight).isfinite().all():
            raise ValueError(f"weight: expected a finite number, got {self.weight}")
        lowest, highest = self.interval
        if not 0 <= lowest < highest:
            raise ValueError(f"interval: expected 0 <= lowest < highest, got {self.interval}")
        if not 0 <= self.rescale <= 1:
            raise ValueError(f"rescale: expected a number in [0, 1], got {self.rescale}")

    def weight_at(self, sigma: Sigma) -> float | Tensor:
        """Return the weight at a noise level, 1 outside the interval."""
        w = self.weight(sigma) if callable(self.weight) else self.weight
        if self.interval == EVERYWHERE:
            return w
        lowest, highest = self.interval
        if not isinstance(sigma, Tensor):
            return w if lowest < sigma <= highest else 1.0
        inside = (lowest < sigma) & (sigma <= highest)
        return torch.where(inside, torch.as_tensor(w, dtype=sigma.dtype, device=sigma.device), 1.0)


def guided(main: Denoise, poorer: Denoise, guidance: Guidance) -> Denoise:
    """Guide `main` away from `poorer`, with a call of each; of `main` alone where the weight is 1."""
    return _guided(main, lambda x, sigma: (main(x, sigma), poorer(x, sigma)), guidance)


def guided_in_one_call(
    denoise: Callable[..., Tensor],
    condition: Mapping[str, object],
    poorer_condition: Mapping[str, object],
    guidance: Guidance,
) -> Denoise:
    """Guide a network by itself under another condition, with one call on a batch twice as long.

    The conditions are keyword arguments of `denoise`, their tensors with a row for each image, see
    `samplers.conditions`. What both calls share and has no rows, `skip_scale` for instance, is better bound before.
    """
    both = partial(denoise, **joined(condition, poorer_condition))

    def pair(x: Tensor, sigma: Sigma) -> tuple[Tensor, Tensor]:
        if isinstance(sigma, Tensor) and sigma.ndim:
            sigma = torch.cat([sigma, sigma])
        D = both(torch.cat([x, x]), sigma)
        return D[: len(x)], D[len(x) :]

    return _guided(partial(denoise, **condition), pair, guidance)


def _guided(main: Denoise, pair: Pair, guidance: Guidance) -> Denoise:
    def denoise(x: Tensor, sigma: Sigma) -> Tensor:
        w = guidance.weight_at(sigma)
        if bool((w == 1).all()) if isinstance(w, Tensor) else w == 1:
            return main(x, sigma)
        D_1, D_0 = pair(x, sigma)
        if isinstance(w, Tensor):
            w = w.to(D_1).reshape(-1, *[1] * (x.ndim - 1))
        D = D_1 + (w - 1) * (D_1 - D_0)  # D_1 to the bit in rows of weight 1
        return _rescaled(D, D_1, guidance.rescale) if guidance.rescale else D

    return denoise


def _rescaled(extrapolated: Tensor, main: Tensor, phi: float) -> Tensor:
    pixels = tuple(range(1, main.ndim))
    before, wanted = (D.std(pixels, correction=0, keepdim=True) for D in (extrapolated, main))
    factor = torch.where(before > 0, wanted / before, 1.0)
    return extrapolated * (1 + phi * (factor - 1))
