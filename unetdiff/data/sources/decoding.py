"""Picture files, wherever they lie, decoded on every core and brought to one form, with what is known of them."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unetdiff.data.framing import DECODING_ERRORS, Framing
from unetdiff.data.sources.annotations import Annotations
from unetdiff.data.sources.source import Chunk
from unetdiff.errors import InputError

__all__ = ["SUFFIXES", "Picture", "decode"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
CHUNK_FILES = 256


@dataclass(frozen=True)
class Picture:
    """An encoded picture, in a file of its own or as the bytes of one, and what messages call it."""

    content: Path | bytes
    name: str


@dataclass(frozen=True)
class _Decoded:
    row: int
    picture: Picture
    pixels: NDArray[np.uint8]


def decode(pictures: Iterable[Picture], annotations: Annotations, framing: Framing) -> Iterator[Chunk]:
    """The pictures that can be decoded, brought to `framing`; row i of `annotations` belongs to the i-th picture.

    Raises:
        InputError: two pictures have not the same size or channels after framing.
    """
    framing.check_pictures()
    rows, first = enumerate(pictures), None
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while piece := list(islice(rows, CHUNK_FILES)):
            results = list(pool.map(partial(_decode, framing=framing), *zip(*piece, strict=True)))
            decoded = [result for result in results if isinstance(result, _Decoded)]
            for result in decoded:
                first = first or result
                _check_same_form(result, first)
            yield annotations.chunk(
                np.stack([one.pixels for one in decoded]) if decoded else np.empty((0, 0, 0, 0), np.uint8),
                [one.row for one in decoded],
                tuple(result for result in results if isinstance(result, str)),
            )


def _decode(row: int, picture: Picture, framing: Framing) -> _Decoded | str:
    """The image, or its name and why it cannot be read."""
    content = BytesIO(picture.content) if isinstance(picture.content, bytes) else picture.content
    try:
        with Image.open(content) as opened:
            return _Decoded(row, picture, framing.frame(opened))
    except DECODING_ERRORS as error:
        return f"{picture.name}: {error}"


def _check_same_form(this: _Decoded, first: _Decoded) -> None:
    (channels, height, width), (c, h, w) = this.pixels.shape, first.pixels.shape
    name, like = this.picture.name, Path(first.picture.name).name
    if channels != c:
        raise InputError(f"{name}: expected {c} channels as in {like}, got {channels}; set channels to 1 or 3")
    if (height, width) != (h, w):
        raise InputError(f"{name}: expected {w}x{h} pixels as in {like}, got {width}x{height}; set size")
