"""Packed images on disk: images.npy (N,C,H,W) that is mapped, not loaded, dataset.json, and what is known of them.

That is labels.npy (N,) int64, captions.json (a list of N strings) and vectors.npy (N,D) float32, each where the source
has it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetdiff.data.pixels import Pixels, white
from unetdiff.errors import InputError
from unetdiff.plain import from_plain

__all__ = ["PackedDataset"]


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """dataset.json."""

    classes: tuple[str, ...]
    fingerprint: str
    unreadable: int
    size: int | None
    channels: int | None


@dataclass(frozen=True, kw_only=True)
class PackedDataset:
    """Images (N,C,H,W) with labels (N,) in [0, len(classes)), captions and vectors (N,D), or None without them.

    Attributes:
        folder: Where the packed files are.
        images: Memory-mapped pixels, uint8 or uint16, 0 to `white`.
        labels: One class number per image.
        classes: Names of the classes; empty without labels.
        captions: One text per image.
        vectors: One row of numbers per image, for continuous conditions.
        spread: Where images are means of latents, (N,C,H,W): the standard deviations of these.
        fingerprint: sha256 of pixels, labels, captions and vectors.
        unreadable: Number of images that were skipped because they could not be decoded.
    """

    folder: Path
    images: Pixels
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    captions: tuple[str, ...] | None
    vectors: NDArray[np.float32] | None
    fingerprint: str
    unreadable: int
    spread: NDArray[np.float32] | None = None

    @classmethod
    def open(cls, folder: Path) -> "PackedDataset":
        """The dataset that `unetdiff.data.prepare` packed into `folder`.

        Raises:
            InputError: a file that is missing or damaged; values of pixels and vectors are not looked at.
        """
        captions, vectors, spread = (folder / name for name in ("captions.json", "vectors.npy", "spread.npy"))
        facts = _read_facts(folder / "dataset.json")
        images = _read_array(folder / "images.npy", ("uint8", "uint16", "float32"), ndim=4)
        rows = len(images)
        labels = _read_array(folder / "labels.npy", ("int64",), ndim=1, rows=rows) if facts.classes else None
        return cls(
            folder=folder,
            images=images,
            labels=None if labels is None else np.array(labels),
            classes=facts.classes,
            captions=_read_captions(captions, rows) if captions.is_file() else None,
            vectors=np.array(_read_array(vectors, ("float32",), ndim=2, rows=rows)) if vectors.is_file() else None,
            fingerprint=facts.fingerprint,
            unreadable=facts.unreadable,
            spread=_read_array(spread, ("float32",), ndim=4, rows=rows) if spread.is_file() else None,
        )

    @property
    def white(self) -> int:
        """The largest value of a pixel: images / (white / 2) - 1 lies in [-1, 1]."""
        return white(self.images)

    def __len__(self) -> int:
        return len(self.images)

    def __reduce__(self) -> tuple[Callable[[Path], "PackedDataset"], tuple[Path]]:
        # Spawned workers map the file again; a pickled memory map would be a copy of every image.
        return PackedDataset.open, (self.folder,)


def _read_facts(path: Path) -> _Facts:
    try:
        return from_plain(_Facts, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _read_captions(path: Path, rows: int) -> tuple[str, ...]:
    try:
        captions = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(captions, list) or len(captions) != rows or not all(isinstance(one, str) for one in captions):
        raise _damaged(path, f"expected a text for each of {rows} images")
    return tuple(captions)


def _read_array(path: Path, dtypes: Sequence[str], ndim: int, rows: int | None = None) -> NDArray[Any]:
    """Mapped, not loaded, in the form that packing gave it: whole, in C order, with so many rows."""
    try:
        mapped: NDArray[Any] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError, TypeError, OverflowError, SyntaxError, TokenError) as error:
        raise _damaged(path, error) from error
    whole = isinstance(mapped, np.memmap) and mapped.offset + mapped.nbytes == path.stat().st_size
    if not whole or mapped.ndim != ndim or str(mapped.dtype) not in dtypes or not mapped.flags.c_contiguous:
        raise _damaged(path, f"expected {' or '.join(dtypes)} in {ndim} dimensions up to the end of the file")
    if rows not in (None, len(mapped)):
        raise _damaged(path, f"expected a row for each of {rows} images, got {len(mapped)}")
    return mapped


def _damaged(path: Path, reason: object) -> InputError:
    said = " ".join(str(reason).split())
    return InputError(f"{path}: a file of packed images expected, got a damaged one ({said}); delete its folder")
