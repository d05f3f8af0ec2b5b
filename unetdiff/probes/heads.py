"""Probes that are trained networks: an MLP, convolutions or attention on the maps of one cell, or attention on all.

They keep the weights of the epoch that tells held-out rows best, and are not fitted again together with these rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from typing_extensions import Self

from unetdiff.errors import InputError
from unetdiff.features.cell import Cell
from unetdiff.probes.fitting import Training, fit_network, seeded
from unetdiff.probes.networks import CNN, MLP, Attention, Head
from unetdiff.probes.probe import CellProbe, Fitted, Predictor, Probe, Scores, require_fit
from unetdiff.probes.rows import Rows, compute_device
from unetdiff.probes.stored_maps import StoredMaps, grid_of
from unetdiff.probes.task import Task

__all__ = ["AttentionProbe", "CNNProbe", "FusionProbe", "MLPProbe"]


@dataclass(frozen=True, kw_only=True)
class _Head(Probe):
    """A trained network.

    Attributes:
        training: How it is trained.
    """

    training: Training = field(default_factory=Training)

    def for_epochs(self, epochs: int) -> Self:
        """Trained for so long, or for the least steps."""
        return replace(self, training=replace(self.training, epochs=epochs))


@dataclass(frozen=True, kw_only=True)
class MLPProbe(_Head, CellProbe):
    """An MLP on the pooled maps of a cell, of these sizes."""

    network: MLP = field(default_factory=MLP)

    def fit(self, rows: Rows, task: Task) -> Fitted:
        """Train it."""
        return _fit(self.network, [[0]], [rows], self.training, task)


@dataclass(frozen=True, kw_only=True)
class CNNProbe(_Head, CellProbe):
    """Convolutions on the maps of a cell, of these sizes."""

    network: CNN = field(default_factory=CNN)

    def fit(self, rows: Rows, task: Task) -> Fitted:
        """Train them."""
        return _fit(self.network, [[0]], [rows], self.training, task)


@dataclass(frozen=True, kw_only=True)
class AttentionProbe(_Head, CellProbe):
    """Attention over the positions of a cell, of these sizes."""

    network: Attention = field(default_factory=Attention)

    def fit(self, rows: Rows, task: Task) -> Fitted:
        """Train it."""
        return _fit(self.network, [[0]], [rows], self.training, task)


@dataclass(frozen=True, kw_only=True)
class FusionProbe(_Head):
    """Attention over the positions of all cells at once.

    Attributes:
        network: Its sizes.
        levels: For every noise level, which of the given cells it has; where that is not known, all are one level's.
    """

    network: Attention = field(default_factory=Attention)
    levels: tuple[tuple[int, ...], ...] = ()

    def for_cells(self, cells: Sequence[Cell]) -> "FusionProbe":
        """For these cells: every place at every noise level.

        Raises:
            InputError: a place that is not there at one of them.
        """
        taps = list(dict.fromkeys(cell.tap for cell in cells))
        sigmas = sorted({cell.sigma for cell in cells})
        wanted = [[Cell(tap, sigma) for tap in taps] for sigma in sigmas]
        missing = [cell for level in wanted for cell in level if cell not in cells]
        if missing:
            raise InputError(f"fusion: every place at every noise level expected, got no {missing[0]}")
        return replace(self, levels=tuple(tuple(cells.index(cell) for cell in level) for level in wanted))

    def fit_each(self, features: Sequence[Rows], task: Task) -> list[Fitted]:
        """One for all cells."""
        return [_fit(self.network, self.levels or [range(len(features))], features, self.training, task)]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Trained(Predictor):
    """A network that reads the cells in this order: `places` of each noise level, one level after the other."""

    network: torch.nn.Module
    places: int
    batch: int

    @torch.no_grad()
    def scores(self, features: Sequence[Rows]) -> Scores:
        """Logits."""
        levels = [features[start : start + self.places] for start in range(0, len(features), self.places)]
        every = StoredMaps(features=levels, labels=np.empty(0, dtype=np.int64))
        starts = range(0, len(features[0]), self.batch)
        logits = torch.cat([self.network(every.maps(slice(start, start + self.batch))) for start in starts])
        scores: Scores = logits.cpu().numpy()
        return scores


def _fit(
    head: Head, levels: Sequence[Sequence[int]], features: Sequence[Rows], training: Training, task: Task
) -> Fitted:
    """Build the head for the cells of these levels and train it."""
    require_fit(features, task)
    chosen = [[features[index] for index in level] for level in levels]
    with seeded(training.seed):
        network = head.build(grid_of(chosen), task.classes).to(compute_device())
    examples = StoredMaps(features=chosen, labels=task.labels)
    course = fit_network(network, examples, training, kept=task.kept, held_out=task.held_out)
    return Fitted(
        inputs=tuple(index for level in levels for index in level),
        predictor=_Trained(network=network, places=len(levels[0]), batch=training.batch),
        validation=course.validation,
        chosen={"epoch": course.epoch},
    )
