"""Reading an array row by row from a file that may be compressed and larger than memory."""

import csv
import math
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from unetdiff.data.pixels import Pixels
from unetdiff.errors import InputError

__all__ = ["read_rows", "reading"]

CHUNK_BYTES = 2**23
BYTES = np.dtype(np.uint8)
DAMAGED = (EOFError, OSError, ValueError, csv.Error, tarfile.TarError, zipfile.BadZipFile, zlib.error)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes its reader raise into an InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def read_rows(
    stream: BinaryIO, shape: tuple[int, ...], path: Path, dtype: np.dtype[np.uint8 | np.uint16] = BYTES
) -> Iterator[Pixels]:
    """The array of `shape` that starts at the stream's position, in pieces of about 8 MB and native byte order."""
    count, row_bytes = shape[0], math.prod(shape[1:]) * dtype.itemsize
    rows = max(1, CHUNK_BYTES // row_bytes)
    for start in range(0, count, rows):
        wanted = min(rows, count - start)
        with reading(path):
            content = stream.read(wanted * row_bytes)
        if len(content) < wanted * row_bytes:
            complete = start + len(content) // row_bytes
            raise InputError(f"{path}: expected {count} images, got {complete} before the file ends")
        yield np.frombuffer(content, dtype).reshape(wanted, *shape[1:]).astype(dtype.newbyteorder("="), copy=False)
