"""Exponential moving average of the weights, in float32: the network that is sampled from.

theta_ema <- d_t theta_ema + (1 - d_t) theta, with d_t = min(decay, (1 + t) / (10 + t)) for update number t from 0.
"""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

__all__ = ["EMA"]

M = TypeVar("M", bound=nn.Module)


class EMA(Generic[M]):
    """A copy of `model` whose parameters follow it slowly; `self.model` can be used like the original."""

    def __init__(self, model: M, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    def decay_at(self, t: int) -> float:
        """The factor of update number t: it warms up, so that early averages forget the initialisation."""
        return min(self.decay, (1 + t) / (10 + t))

    @torch.no_grad()
    def update(self, model: M, t: int) -> None:
        """Make update number t; called once per optimiser step, however many batches that accumulates."""
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - self.decay_at(t))
