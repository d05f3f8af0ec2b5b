"""What every kind of data source offers to the packing: its files, its classes and its images, piece by piece."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unetdiff.data.framing import Framing
from unetdiff.data.pixels import Pixels
from unetdiff.errors import InputError

__all__ = ["Chunk", "Source", "checked_labels"]


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some consecutive images (n,C,H,W), what is known of them, and what was skipped among them, as "file: reason".

    Labels are (n,), captions n texts, vectors (n,D); each is there in every chunk of a source, or in none.
    """

    images: Pixels
    labels: NDArray[np.int64] | None = None
    captions: tuple[str, ...] | None = None
    vectors: NDArray[np.float32] | None = None
    unreadable: tuple[str, ...] = ()


class Source(Protocol):
    """Images in a fixed order, read in chunks so that the whole never has to fit in memory."""

    @property
    def files(self) -> Sequence[Path]:
        """The files that decide the content."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty without labels."""

    def __len__(self) -> int:
        """Number of images, unreadable ones included."""

    def chunks(self, framing: Framing) -> Iterator[Chunk]:
        """The images in order; InputError where the source cannot be read."""


def checked_labels(labels: NDArray[np.generic], images: int, classes: int | None, name: str) -> NDArray[np.int64]:
    """`labels` as int64 when there is one per image and all lie in [0, classes); else InputError."""
    if labels.shape != (images,):
        raise InputError(f"{name}: expected one label for each of {images} images, got an array {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{name}: expected integer labels, got {labels.dtype}")
    numbers = labels.astype(np.int64)
    outside = numbers < 0 if classes is None else (numbers < 0) | (numbers >= classes)
    if outside.any():
        row = int(outside.argmax())
        expected = "labels from 0" if classes is None else f"labels from 0 to {classes - 1}"
        raise InputError(f"{name}: expected {expected}, got {numbers[row]} at row {row}")
    return numbers
