"""Features to disk, file by file: one that is there is not made again, and each appears whole."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from unetdiff.atomic import replacing
from unetdiff.errors import InputError
from unetdiff.features.cell import Cell
from unetdiff.features.manifest import FILE, Manifest
from unetdiff.features.store import LABELS, MANIFEST_KEY, Values, shard_key, tensor_name

__all__ = ["StoreWriter"]


class StoreWriter:
    """A store that is being written; several processes may write different files of it."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Nothing is written yet.

        Args:
            folder: empty, not there, or with a part of these features.
            manifest: what shall be in it.

        Raises:
            InputError: features in the folder that depend on something else.
        """
        self.folder = folder
        self.manifest = manifest
        if (folder / FILE).is_file():
            Manifest.read(folder).require_same(manifest, folder)

    def begin(self, labels: NDArray[np.int64] | None = None) -> None:
        """Make the folder with all but the features: `labels` (N,) are below the number of the manifest's classes."""
        if (self.folder / FILE).is_file():
            return
        if labels is not None:
            _save(self.folder / LABELS, {"labels": labels}, self.manifest.key)
        self.manifest.write(self.folder)

    @property
    def missing(self) -> dict[str, range]:
        """The rows of each file that is still to be written, by its name."""
        return {name: rows for name, rows in self.manifest.shards.items() if not (self.folder / name).is_file()}

    def write(self, name: str, features: Mapping[Cell, Values]) -> None:
        """Write the file of this name: (rows, ...) for each cell."""
        rows, dtype = self.manifest.shards[name], np.dtype(self.manifest.settings.dtype)
        for cell, shape in self.manifest.row_shapes.items():
            got = features[cell]
            if got.shape != (len(rows), *shape) or got.dtype != dtype:
                raise InputError(f"{cell}: expected {dtype} {(len(rows), *shape)}, got {got.dtype} {got.shape}")
        _save(
            self.folder / name,
            {tensor_name(cell): value for cell, value in features.items()},
            shard_key(self.manifest, rows),
        )


def _save(path: Path, tensors: Mapping[str, NDArray[np.generic]], key: str) -> None:
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    with replacing(path) as staged:
        save_file(contiguous, staged, metadata={MANIFEST_KEY: key})
