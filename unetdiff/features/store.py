"""Features on disk, read a few rows at a time: one split of one data set under one model and one setting.

manifest.json                                what they are and what they depend on
labels.safetensors                           (N,) int64, where the images have labels
features-00000-of-00060.safetensors          a tensor (rows, ...) for each cell, named SIGMA/TAP
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray
from safetensors import SafetensorError, safe_open

from unetdiff.errors import InputError
from unetdiff.features.cell import Cell
from unetdiff.features.manifest import Manifest

__all__ = ["LABELS", "MANIFEST_KEY", "FeatureStore", "Rows", "Shard", "Values", "shard_key", "tensor_name"]

LABELS = "labels.safetensors"
MANIFEST_KEY = "manifest"

Values = NDArray[np.float16 | np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureStore:
    """`store[cell]` are the features of all images at one place and noise level."""

    folder: Path
    manifest: Manifest
    labels: NDArray[np.int64] | None
    shards: Sequence["Shard"]

    @classmethod
    def open(cls, folder: str | Path) -> "FeatureStore":
        """Read what is there; no feature is read yet.

        Raises:
            InputError: no store, one that is not complete, or a file that is damaged or of another store.
        """
        folder = Path(folder)
        manifest = Manifest.read(folder)
        missing = [name for name in manifest.shards if not (folder / name).is_file()]
        if missing:
            raise InputError(
                f"{folder}: {len(manifest.shards)} files of features expected, {len(missing)} are missing, the first "
                f"{missing[0]}; the command that began them goes on"
            )
        shards = [Shard.open(folder / name, manifest, rows) for name, rows in manifest.shards.items()]
        return cls(folder=folder, manifest=manifest, labels=_read_labels(folder, manifest), shards=shards)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """What is stored, tap by tap."""
        return self.manifest.cells

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, which the labels count."""
        return self.manifest.classes

    def __len__(self) -> int:
        return self.manifest.images

    def __getitem__(self, cell: Cell) -> "Rows":
        """The features of one cell.

        Raises:
            InputError: a cell that is not stored.
        """
        shape = self.manifest.row_shapes.get(cell)
        if shape is None:
            raise InputError(f"{self.folder}: a tap and noise level that are stored expected, got {Cell(*cell)}")
        return Rows(store=self, cell=cell, shape=(len(self), *shape), dtype=np.dtype(self.manifest.settings.dtype))


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """An array (N, ...) on disk: indexing reads those rows into memory.

    Attributes:
        store: which it is of.
        cell: which it is of the store.
        shape: of the whole.
        dtype: on disk, and of what is read.
    """

    store: FeatureStore
    cell: Cell
    shape: tuple[int, ...]
    dtype: np.dtype[np.float16 | np.float32]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | int | Sequence[int] | NDArray[np.int64 | np.bool_]) -> Values:
        """Rows as numpy would take them: by a slice, by integers in any order and number, or by a mask."""
        if isinstance(index, slice):
            wanted = np.arange(*index.indices(len(self)))
        else:
            wanted = np.asarray(np.arange(len(self))[index])
        flat = wanted.reshape(-1)
        found = np.empty((len(flat), *self.shape[1:]), self.dtype)
        number = flat // self.store.manifest.shard_images
        for one in np.unique(number):
            shard, at = self.store.shards[one], number == one
            found[at] = shard[self.cell][flat[at] - shard.rows.start]
        return found.reshape(*wanted.shape, *self.shape[1:])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Values:
        if copy is False:
            raise ValueError("copy: expected that rows may be read from disk, got False")
        return np.asarray(self[:], dtype)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file, mapped into memory when the first of its features is read."""

    path: Path
    rows: range
    manifest: Manifest

    @classmethod
    def open(cls, path: Path, manifest: Manifest, rows: range) -> "Shard":
        """Look at the header alone.

        Raises:
            InputError: a damaged file, or one of other features.
        """
        try:
            with safe_open(path, framework="np") as file:
                key = (file.metadata() or {}).get(MANIFEST_KEY)
                shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: a complete file of features expected, this one is damaged: {error}") from error
        expected = {tensor_name(cell): (len(rows), *shape) for cell, shape in manifest.row_shapes.items()}
        if key != shard_key(manifest, rows) or shapes != expected:
            raise InputError(f"{path}: a file of the features that the manifest describes expected, got one of others")
        return cls(path=path, rows=rows, manifest=manifest)

    def __getitem__(self, cell: Cell) -> Values:
        """(rows, ...), not yet read."""
        return self._views[cell]

    @cached_property
    def _views(self) -> dict[Cell, Values]:
        """Found once: those who take rows in random order ask for every cell of every file again and again."""
        shapes = self.manifest.row_shapes.items()
        return {cell: self._view(tensor_name(cell), (len(self.rows), *shape)) for cell, shape in shapes}

    def _view(self, name: str, shape: tuple[int, ...]) -> Values:
        offset, dtype = self._offsets[name], np.dtype(self.manifest.settings.dtype)
        end = offset + math.prod(shape) * dtype.itemsize
        values: Values = self._map[offset:end].view(dtype).reshape(shape)
        return values

    @cached_property
    def _map(self) -> NDArray[np.uint8]:
        """One for all cells: each map holds a file open."""
        return np.memmap(self.path, np.uint8, mode="r")

    @cached_property
    def _offsets(self) -> dict[str, int]:
        """Where each tensor begins. A safetensors file is the header's length (8 bytes), the header, the tensors."""
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        return {name: 8 + length + facts["data_offsets"][0] for name, facts in header.items() if name[:2] != "__"}


def shard_key(manifest: Manifest, rows: range) -> str:
    """What a file of these rows carries."""
    return f"{manifest.key}/{rows.start}"


def tensor_name(cell: Cell) -> str:
    """Of a cell's features in a file."""
    return f"{cell.sigma!r}/{cell.tap}"


def _read_labels(folder: Path, manifest: Manifest) -> NDArray[np.int64] | None:
    path = folder / LABELS
    if not manifest.classes:
        return None
    try:
        with safe_open(path, framework="np") as file:
            key = (file.metadata() or {}).get(MANIFEST_KEY)
            labels: NDArray[np.int64] = file.get_tensor("labels")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: labels of the images expected, got a damaged file or none: {error}") from error
    if key != manifest.key:
        raise InputError(f"{path}: the labels of these images expected, got those of another store")
    if labels.shape != (manifest.images,) or labels.dtype != np.int64:
        raise InputError(f"{path}: {manifest.images} labels expected, got {labels.dtype} {labels.shape}")
    return labels
