"""Images in an .npy file, or in an .npz file with the keys images or x and, for labels, labels or y."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from unetdiff.data.framing import Framing
from unetdiff.data.rows import read_rows, reading
from unetdiff.data.source import Chunk, checked_labels
from unetdiff.errors import InputError

__all__ = ["ArrayFile"]

IMAGE_KEYS = ("images", "x")
LABEL_KEYS = ("labels", "y")


@dataclass(frozen=True)
class ArrayFile:
    """A uint8 array (N,H,W), (N,H,W,C) or (N,C,H,W) with 1 or 3 channels; labels are integers from 0."""

    path: Path

    @property
    def files(self) -> Sequence[Path]:
        """The one file."""
        return (self.path,)

    @property
    def classes(self) -> tuple[str, ...]:
        """Every label's number as its name."""
        return () if self._labels is None else tuple(map(str, range(int(self._labels.max()) + 1)))

    def __len__(self) -> int:
        return self._shape[0]

    def chunks(self, framing: Framing) -> Iterator[Chunk]:
        """The images, brought to `framing`, with their labels."""
        labels, start = self._labels, 0
        with self._open_images() as (stream, shape):
            for rows in read_rows(stream, shape, self.path):
                yield Chunk(
                    images=framing.frame_all(_channels_first(rows, self.path)),
                    labels=None if labels is None else labels[start : start + len(rows)],
                )
                start += len(rows)

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        with self._open_images() as (_, shape):
            return shape

    @cached_property
    def _labels(self) -> NDArray[np.int64] | None:
        if self.path.suffix == ".npy":
            return None
        with reading(self.path), np.load(self.path, allow_pickle=False) as arrays:
            key = _present(LABEL_KEYS, arrays)
            labels = None if key is None else arrays[key]
        return None if labels is None else checked_labels(labels, len(self), None, f"{self.path}: {key}")

    @contextmanager
    def _open_images(self) -> Iterator[tuple[BinaryIO, tuple[int, ...]]]:
        """The stream of the image array behind its header, with the array's shape."""
        if self.path.suffix == ".npy":
            with self.path.open("rb") as stream:
                yield stream, _read_header(stream, self.path)
            return
        with reading(self.path):
            archive = zipfile.ZipFile(self.path)
        with archive:
            names = {name.removesuffix(".npy"): name for name in archive.namelist()}
            key = _present(IMAGE_KEYS, names)
            if key is None:
                raise InputError(f"{self.path}: expected the key images or x, got {', '.join(names) or 'no keys'}")
            with archive.open(names[key]) as member:
                yield cast(BinaryIO, member), _read_header(cast(BinaryIO, member), self.path)


def _present(keys: Sequence[str], arrays: Mapping[str, object]) -> str | None:
    return next((key for key in keys if key in arrays), None)


def _read_header(stream: BinaryIO, path: Path) -> tuple[int, ...]:
    with reading(path):
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran_order, dtype = read(stream)
    if dtype != np.uint8:
        raise InputError(f"{path}: expected images of uint8, got {dtype}")
    if fortran_order:
        raise InputError(f"{path}: expected images in C order, got Fortran order")
    if len(shape) not in (3, 4) or 0 in shape:
        raise InputError(f"{path}: expected images (N,H,W), (N,H,W,C) or (N,C,H,W), got {shape}")
    return shape


def _channels_first(rows: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    if rows.ndim == 3:
        return rows[:, None]
    if rows.shape[3] in (1, 3):
        return np.ascontiguousarray(rows.transpose(0, 3, 1, 2))
    if rows.shape[1] in (1, 3):
        return rows
    raise InputError(f"{path}: expected 1 or 3 channels first or last, got images of {rows.shape[1:]}")
