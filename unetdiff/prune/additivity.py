"""Whether the scores of parts may be summed: their sum against what all of a set together do to the output.

    sum_{i in S} score_i   against   E || F_{-S} - F ||^2 / dim F   over random sets S of several sizes

The sum is exact where the parts' errors add up and are uncorrelated ("additivity" in LAPTOP-Diff,
Zhang et al. 2024).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from unetdiff.denoiser import Denoiser
from unetdiff.prune.apply import prune
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.parts import Part
from unetdiff.prune.scores.output_loss import weighted_error
from unetdiff.unet import UNet

__all__ = ["Additivity", "SubsetLoss", "joint_losses", "measure_additivity", "random_subsets"]

SHARES = (0.1, 0.25, 0.5, 0.75)
"""Sizes of the subsets, of all parts."""


@dataclass(frozen=True, kw_only=True)
class SubsetLoss:
    """A set of so many parts: the sum of their scores, and the output loss of all of them together."""

    size: int
    summed: float
    joint: float


@dataclass(frozen=True, kw_only=True)
class Additivity:
    """Of some sets, drawn at random."""

    subsets: tuple[SubsetLoss, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Increasing."""
        return tuple(sorted({subset.size for subset in self.subsets}))

    def of_size(self, size: int) -> "Additivity":
        """Of the sets of one size alone."""
        return Additivity(subsets=tuple(subset for subset in self.subsets if subset.size == size))

    @property
    def pearson(self) -> float:
        """Linear correlation of sum and joint loss; NaN where either is constant."""
        return _correlation(*self._columns)

    @property
    def spearman(self) -> float:
        """Correlation of their ranks."""
        return _correlation(*(_ranks(column) for column in self._columns))

    @property
    def ratio(self) -> float:
        """Median of the joint loss as a multiple of the sum."""
        summed, joint = self._columns
        return float(np.median(joint / summed))

    @property
    def _columns(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        summed, joint = np.array([(subset.summed, subset.joint) for subset in self.subsets]).T
        return summed, joint


def random_subsets(parts: Sequence[Part], count: int, seed: int = 0) -> list[tuple[Part, ...]]:
    """`count` sets of each of several sizes."""
    random = np.random.default_rng(seed)
    sizes = sorted({max(round(share * len(parts)), 1) for share in SHARES})
    draws = [random.choice(len(parts), size, replace=False) for size in sizes for _ in range(count)]
    return [tuple(parts[index] for index in sorted(draw)) for draw in draws]


def measure_additivity(
    denoiser: Denoiser, scores: Mapping[str, float], calibration: Calibration, subsets: Sequence[Sequence[Part]]
) -> Additivity:
    """Remove each set and compare; as many runs of the network as there are sets, and one."""
    networks = [prune(denoiser.unet, {part.name: part.way for part in subset}) for subset in subsets]
    losses = joint_losses(denoiser, networks, calibration)
    return Additivity(
        subsets=tuple(
            SubsetLoss(size=len(subset), summed=sum(scores[part.name] for part in subset), joint=loss)
            for subset, loss in zip(subsets, losses, strict=True)
        )
    )


@torch.no_grad()
def joint_losses(denoiser: Denoiser, networks: Sequence[UNet], calibration: Calibration) -> list[float]:
    """The output loss of each of some networks against the denoiser's own."""
    others = [Denoiser(network, denoiser.preconditioning) for network in networks]
    losses = [0.0] * len(others)
    for batch in calibration.batches:
        whole = denoiser.output(batch.x, batch.sigma, **batch.condition)
        for index, other in enumerate(others):
            output = other.output(batch.x, batch.sigma, **batch.condition)
            losses[index] += weighted_error(output, whole, batch.weight)
    return losses


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / scale) if scale > 0 else float("nan")


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equal values share the mean of their places."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank: NDArray[np.float64] = np.cumsum(count) - (count - 1) / 2
    return mean_rank[place]
