"""Predictions kept in the range that images have: strong guidance drives them out of it.

    D = clamp(D, lowest, highest)                                          clamping
    D = c + clamp((D - c) / s, -h, h),    s = max(1, quantile |D - c| / h)      dynamic thresholding

c is the middle of the range, h half its width, the quantile taken over all values of an image. Saharia et al. 2022
(https://arxiv.org/abs/2205.11487), section 2.3, where the range is [-1, 1].
"""

import torch
from torch import Tensor

from samplers.sampler import Denoise, Sigma

__all__ = ["clamped", "dynamically_thresholded"]

Range = tuple[float, float]


def clamped(denoise: Denoise, value_range: Range = (-1.0, 1.0)) -> Denoise:
    """Cut off what lies outside the range."""
    lowest, highest = _checked(value_range)
    return lambda x, sigma: denoise(x, sigma).clamp(lowest, highest)


def dynamically_thresholded(denoise: Denoise, quantile: float = 0.995, value_range: Range = (-1.0, 1.0)) -> Denoise:
    """Shrink an image that exceeds the range to fit, but for the outermost values, which are cut off."""
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile: expected a number in (0, 1], got {quantile}")
    lowest, highest = _checked(value_range)
    c, h = (lowest + highest) / 2, (highest - lowest) / 2

    def thresholded(x: Tensor, sigma: Sigma) -> Tensor:
        D = denoise(x, sigma) - c
        s = (_quantile(D.abs().flatten(1), quantile) / h).clamp(min=1)
        return c + (D / s.reshape(-1, *[1] * (D.ndim - 1))).clamp(-h, h)

    return thresholded


def _quantile(values: Tensor, q: float) -> Tensor:
    """`values.quantile(q, dim=1)`, but sorting only the largest values, and of any number of them."""
    place = q * (values.shape[1] - 1)
    below = int(place)
    largest = values.topk(values.shape[1] - below, dim=1).values
    above = largest[:, max(largest.shape[1] - 2, 0)]
    return torch.lerp(largest[:, -1], above, place - below)


def _checked(value_range: Range) -> Range:
    lowest, highest = value_range
    if not lowest < highest:
        raise ValueError(f"value_range: expected lowest < highest, got {value_range}")
    return value_range
