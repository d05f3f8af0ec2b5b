"""Starting from an image instead of pure noise: x = x0 + sigma eps, and what is left of the grid from there.

Meng et al. 2022, SDEdit (https://arxiv.org/abs/2108.01073), algorithm 1: the higher sigma, the less of the image stays.
"""

import torch
from torch import Tensor

from samplers.sampler import Noise

__all__ = ["start_at", "start_from"]


def start_from(images: Tensor, noise: Noise, sigmas: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Return x and the last levels of a grid: `strength` is the share of its steps, rounded.

    All steps begin with pure noise, as generation does; no step gives the images and the end of the grid.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength: expected a number in [0, 1], got {strength}")
    steps = len(sigmas) - 1
    rest = sigmas[steps - round(strength * steps) :]
    x = rest[0] * noise().to(images)
    return (x if strength == 1 else images + x), rest


def start_at(images: Tensor, noise: Noise, sigmas: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return x at noise level `sigma`, and `sigma` with the levels of a falling grid below it."""
    lowest = float(sigmas[-1])
    if not lowest < sigma < torch.inf:
        raise ValueError(f"sigma: expected a finite noise level above the end of the grid, {lowest}, got {sigma}")
    below = sigmas[sigmas < sigma * (1 - 1e-6)]  # no step of the size of a rounding error
    rest = torch.cat([sigmas.new_tensor([sigma]), below])
    return images + rest[0] * noise().to(images), rest
