"""Features as probes read them: a table with a row for each image, in memory or mapped from a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetdiff.errors import InputError

__all__ = ["BLOCK", "Indices", "Rows", "Selected", "blocks", "compute_device", "read", "read_flat", "width_of"]

Indices = NDArray[np.int64]
"""Numbers of rows, in rising order."""

BLOCK = 4096  # rows at a time, wherever all are read


class Rows(Protocol):
    """What one place in a network says at one noise level: (N, C) or (N, C, h, w), as arrays are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and the shape of one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice | Indices, /) -> NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class Selected:
    """Some of the rows, which are read when they are asked for."""

    rows: Rows
    indices: Indices

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of selected rows, and the shape of one."""
        return len(self), *self.rows.shape[1:]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: slice | Indices, /) -> NDArray[Any]:
        return self.rows[self.indices[index]]


def compute_device() -> torch.device:
    """Where probes compute: the GPU, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def read(rows: Rows, index: slice | Indices) -> Tensor:
    """Rows as float32 on the device that probes compute on.

    Raises:
        InputError: a value that is not finite.
    """
    block = torch.from_numpy(np.array(rows[index], dtype=np.float32)).to(compute_device())
    if not bool(torch.isfinite(block).all()):
        number = np.arange(len(rows))[index][int((~torch.isfinite(block.flatten(1))).any(dim=1).nonzero()[0])]
        raise InputError(f"features: finite numbers expected, got others in row {number}")
    return block


def read_flat(rows: Rows, index: slice | Indices) -> Tensor:
    """(n, C h w): what linear probes take of rows of any shape."""
    return read(rows, index).flatten(1)


def blocks(rows: Rows) -> Iterator[Tensor]:
    """All rows, flat, `BLOCK` at a time."""
    for start in range(0, len(rows), BLOCK):
        yield read_flat(rows, slice(start, start + BLOCK))


def width_of(rows: Rows) -> int:
    """C h w: the number of values in a row."""
    return int(np.prod(rows.shape[1:]))
