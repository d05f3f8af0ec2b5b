"""Latent statistics: how far mean and spread of the outputs move (Castells et al. 2024, LD-Pruner).

    score_i = || mean F - mean F_{-i} ||_2 + || std F - std F_{-i} ||_2

Mean and standard deviation are over the calibration set, at every position and channel.
https://arxiv.org/abs/2404.11936
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unetdiff.denoiser import Denoiser
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.forked import outputs_without
from unetdiff.prune.parts import Part
from unetdiff.prune.scores.score import Score

__all__ = ["LatentStatistics"]


@dataclass
class _Moments:
    """Weighted sums of outputs and of their squares, in float64."""

    first: Tensor
    second: Tensor

    @classmethod
    def of(cls, output: Tensor, weight: Tensor) -> "_Moments":
        """Of a batch (N, C, H, W)."""
        output, weight = output.double(), weight.double().reshape(-1, 1, 1, 1)
        return cls((weight * output).sum(dim=0), (weight * output.square()).sum(dim=0))

    def __add__(self, other: "_Moments") -> "_Moments":
        return _Moments(self.first + other.first, self.second + other.second)

    @property
    def std(self) -> Tensor:
        """(C, H, W)."""
        return (self.second - self.first.square()).clamp(min=0).sqrt()

    def distance(self, other: "_Moments") -> float:
        """The score of one set of outputs against another."""
        norm = torch.linalg.vector_norm
        return float(norm(self.first - other.first) + norm(self.std - other.std))


class LatentStatistics(Score):
    """The distance of mean and of standard deviation."""

    def __call__(self, denoiser: Denoiser, parts: Sequence[Part], calibration: Calibration) -> dict[str, float]:
        """By one forked pass for each batch."""
        shape = calibration.images.shape[1:]
        nothing = _Moments(*calibration.images.new_zeros(2, *shape, dtype=torch.float64))
        original, moments = nothing, dict.fromkeys((part.name for part in parts), nothing)
        for batch in calibration.batches:
            whole, without = outputs_without(denoiser, parts, batch)
            original += _Moments.of(whole, batch.weight)
            for name, output in without.items():
                moments[name] += _Moments.of(output, batch.weight)
        return {name: changed.distance(original) for name, changed in moments.items()}
