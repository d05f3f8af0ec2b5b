"""Guidance: two denoisers extrapolated into one.

    D = D_uncond + w (D_cond - D_uncond)

Ho & Salimans 2022 (https://arxiv.org/abs/2207.12598), equation (6) with weight w - 1; limited to an interval of noise
levels by Kynkäänniemi et al. 2024 (https://arxiv.org/abs/2404.07724).
"""

import math

import torch
from torch import Tensor

from samplers.sampler import Denoise

__all__ = ["classifier_free"]


def classifier_free(
    conditional: Denoise, unconditional: Denoise, weight: float, interval: tuple[float, float] = (0.0, math.inf)
) -> Denoise:
    """Guide `conditional` away from `unconditional`.

    Weight 1 is `conditional` itself, larger weights follow the condition more closely. For noise levels outside
    `interval`, lowest excluded and highest included, only `conditional` is called.
    """
    lowest, highest = interval
    if not math.isfinite(weight):
        raise ValueError(f"weight: expected a finite number, got {weight}")
    if not 0 <= lowest < highest:
        raise ValueError(f"interval: expected 0 <= lowest < highest, got {interval}")
    if weight == 1:
        return conditional

    def guided(x: Tensor, sigma: Tensor) -> Tensor:
        D_cond = conditional(x, sigma)
        inside = (lowest < sigma) & (sigma <= highest)
        if not inside.any():
            return D_cond
        D_uncond = unconditional(x, sigma)
        D = D_uncond + weight * (D_cond - D_uncond)
        return torch.where(inside.reshape(-1, *[1] * (x.ndim - 1)), D, D_cond)

    return guided
