"""Feature maps of several cells as what heads are trained on: read from disk minibatch by minibatch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unetdiff.errors import InputError
from unetdiff.probes.networks import Grid, Maps, Shape
from unetdiff.probes.rows import Indices, Rows, read
from unetdiff.probes.task import Labels

__all__ = ["StoredMaps", "grid_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredMaps:
    """Rows (N, C, h, w) or (N, C): for every noise level, those of each place, and the labels of all."""

    features: Sequence[Sequence[Rows]]
    labels: Labels

    def maps(self, rows: slice | Indices) -> Maps:
        """Of some of the images; means over positions as maps of one position."""
        return [[_as_maps(read(cell, rows)) for cell in level] for level in self.features]

    def batch(self, rows: Indices, epoch: int | None) -> tuple[Maps, Tensor]:
        """Maps and labels; the same in every epoch."""
        maps = self.maps(rows)
        return maps, torch.from_numpy(self.labels[rows]).to(maps[0][0].device)


def grid_of(features: Sequence[Sequence[Rows]]) -> Grid:
    """What a head must be built for to read these.

    Raises:
        InputError: a place whose maps differ in shape from one noise level to another.
    """
    first, *others = [tuple(_shape(cell) for cell in level) for level in features]
    for shapes in others:
        if shapes != first:
            raise InputError(f"features: the same shapes at every noise level expected, got {first} and {shapes}")
    return Grid(shapes=first, levels=len(features))


def _shape(cell: Rows) -> Shape:
    channels, height, width = (*cell.shape[1:], 1, 1)[:3]
    return channels, height, width


def _as_maps(x: Tensor) -> Tensor:
    return x[:, :, None, None] if x.ndim == 2 else x
