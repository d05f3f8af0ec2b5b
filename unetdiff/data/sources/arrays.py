"""Images in an .npy file, or in an .npz file with labels, captions and vectors beside them."""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.lib import format as npy

from unetdiff.data.config import Layout
from unetdiff.data.framing import Framing
from unetdiff.data.pixels import Pixels
from unetdiff.data.sources.annotations import Annotations
from unetdiff.data.sources.columns import Columns
from unetdiff.data.sources.rows import read_rows, reading
from unetdiff.data.sources.source import Chunk
from unetdiff.errors import InputError

__all__ = ["ArrayFile"]


@dataclass(frozen=True)
class ArrayFile:
    """A uint8 or uint16 array (N,H,W), (N,H,W,C) or (N,C,H,W), and what stands beside it.

    Attributes:
        path: .npy or .npz.
        columns: keys of an .npz.
        layout: where the channels are; taken from the shape when left out.
    """

    path: Path
    columns: Columns = field(default_factory=Columns)
    layout: Layout | None = None

    @property
    def files(self) -> Sequence[Path]:
        """The one file."""
        return (self.path,)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: every label's number, where labels are not names."""
        return self._annotations.classes

    def __len__(self) -> int:
        return self._header.shape[0]

    def chunks(self, framing: Framing) -> Iterator[Chunk]:
        """The images, brought to `framing`, with what stands beside them."""
        start = 0
        with self._open_images() as (stream, header):
            layout = self.layout or _plain_layout(header.shape, self.path)
            for rows in read_rows(stream, header.shape, self.path, header.dtype):
                images = framing.frame_all(_channels_first(rows, layout))
                yield self._annotations.chunk(images, range(start, start + len(rows)))
                start += len(rows)

    @cached_property
    def _header(self) -> "_Header":
        with self._open_images() as (_, header):
            return header

    @cached_property
    def _annotations(self) -> Annotations:
        if self.path.suffix == ".npy":
            return Annotations()
        with reading(self.path), np.load(self.path, allow_pickle=False) as arrays:
            return Annotations.read(arrays, self.columns, len(self), self.path)

    @contextmanager
    def _open_images(self) -> Iterator[tuple[BinaryIO, "_Header"]]:
        """The stream of the image array behind its header, and the header."""
        if self.path.suffix == ".npy":
            with self.path.open("rb") as stream:
                yield stream, _read_header(stream, self.path)
            return
        with reading(self.path):
            archive = zipfile.ZipFile(self.path)
        with archive:
            names = {name.removesuffix(".npy"): name for name in archive.namelist()}
            with archive.open(names[self.columns.find_images(names, self.path)]) as member:
                yield cast(BinaryIO, member), _read_header(cast(BinaryIO, member), self.path)


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: "np.dtype[np.uint8 | np.uint16]"


def _read_header(stream: BinaryIO, path: Path) -> _Header:
    with reading(path):
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran_order, dtype = read(stream)
    if dtype.kind != "u" or dtype.itemsize > 2:
        raise InputError(f"{path}: expected images of uint8 or uint16, got {dtype}")
    if fortran_order:
        raise InputError(f"{path}: expected images in C order, got Fortran order")
    if len(shape) not in (3, 4) or 0 in shape:
        raise InputError(f"{path}: expected images (N,H,W), (N,H,W,C) or (N,C,H,W), got {shape}")
    return _Header(shape, dtype)


def _plain_layout(shape: tuple[int, ...], path: Path) -> Layout:
    """The axis of 1 or 3 channels where only one can be that, else the one that is smaller than both others."""
    if len(shape) == 3:
        return "channels_last"
    first, middle, last = shape[1:]
    if (first in (1, 3)) != (last in (1, 3)):
        return "channels_first" if first in (1, 3) else "channels_last"
    if first < min(middle, last):
        return "channels_first"
    if last < min(first, middle):
        return "channels_last"
    raise InputError(
        f"{path}: expected images whose shape shows where the channels are, got {shape[1:]}; "
        "set layout to channels_first or channels_last"
    )


def _channels_first(rows: Pixels, layout: Layout) -> Pixels:
    if rows.ndim == 3:
        return rows[:, None]
    return rows if layout == "channels_first" else np.ascontiguousarray(rows.transpose(0, 3, 1, 2))
