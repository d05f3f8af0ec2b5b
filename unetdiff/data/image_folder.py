"""A folder of image files: its subfolders are the classes, or it is flat and has no labels.

Walked here and not by `datasets`: the files' sizes and times are the key of the packed cache, their order has to be
the same everywhere, and `datasets` would keep a second copy of the images in a cache of its own.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unetdiff.data.framing import Framing
from unetdiff.data.source import Chunk
from unetdiff.errors import InputError

__all__ = ["ImageFolder"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
CHUNK_FILES = 256
DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)

Decoded = tuple[Path, NDArray[np.uint8]]


@dataclass(frozen=True)
class ImageFolder:
    """The images under `folder`, sorted by path; hidden files are left out."""

    folder: Path

    @cached_property
    def files(self) -> Sequence[Path]:
        """All image files; InputError when there are none, or some inside and some beside the class folders."""
        found = sorted(_walk(self.folder))
        loose = [path for path in found if path.parent == self.folder]
        if not found:
            raise InputError(f"{self.folder}: expected image files ({', '.join(sorted(SUFFIXES))}), got none")
        if loose and len(loose) < len(found):
            raise InputError(f"{self.folder}: expected every image in a class folder, got {loose[0].name} beside them")
        return found

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the subfolders that hold images, sorted."""
        return tuple(sorted({self._class(path) for path in self.files} - {""}))

    def __len__(self) -> int:
        return len(self.files)

    def chunks(self, framing: Framing) -> Iterator[Chunk]:
        """The images that can be decoded, brought to `framing`, with their labels."""
        first: Decoded | None = None
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(self), CHUNK_FILES):
                paths = self.files[start : start + CHUNK_FILES]
                results = list(zip(paths, pool.map(partial(_decode, framing=framing), paths), strict=True))
                decoded = [(path, image) for path, image in results if not isinstance(image, str)]
                for path, image in decoded:
                    first = first or (path, image)
                    _check_same_form(path, image, first)
                yield Chunk(
                    images=np.stack([image for _, image in decoded]) if decoded else np.empty((0, 0, 0, 0), np.uint8),
                    labels=self._labels([path for path, _ in decoded]),
                    unreadable=tuple(f"{path}: {reason}" for path, reason in results if isinstance(reason, str)),
                )

    def _labels(self, paths: Sequence[Path]) -> NDArray[np.int64] | None:
        if not self.classes:
            return None
        return np.array([self.classes.index(self._class(path)) for path in paths], dtype=np.int64)

    def _class(self, path: Path) -> str:
        parts = path.relative_to(self.folder).parts
        return parts[0] if len(parts) > 1 else ""


def _walk(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry)
        elif entry.suffix.lower() in SUFFIXES:
            yield entry


def _decode(path: Path, framing: Framing) -> NDArray[np.uint8] | str:
    """The image, or why it cannot be read."""
    try:
        with Image.open(path) as picture:
            return framing.frame(picture)
    except DECODING_ERRORS as error:
        return str(error)


def _check_same_form(path: Path, image: NDArray[np.uint8], first: Decoded) -> None:
    (channels, height, width), (c, h, w) = image.shape, first[1].shape
    if channels != c:
        raise InputError(f"{path}: expected {c} channels as in {first[0].name}, got {channels}; set channels to 1 or 3")
    if (height, width) != (h, w):
        raise InputError(f"{path}: expected {w}x{h} pixels as in {first[0].name}, got {width}x{height}; set size")
