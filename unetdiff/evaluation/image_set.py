"""Images by number, as everything that measures them sees them: 8-bit levels, read a batch at a time.

They are rows of packed data or files of a samples folder; what measures them does not know which.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetdiff.data import PackedDataset
from unetdiff.errors import InputError
from unetdiff.pictures import read_png

__all__ = ["DataImages", "FileImages", "ImageSet", "Levels", "Numbers"]

Numbers = NDArray[np.int64]
Levels = NDArray[np.uint8]

BATCH = 100


class ImageSet(ABC):
    """N images of one shape."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def key(self) -> str:
        """Hexadecimal digits that stand for the images and their order."""

    @abstractmethod
    def levels(self, numbers: Numbers) -> Levels:
        """(n, C, H, W) of the images of these numbers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return self.levels(np.zeros(1, np.int64)).shape[1:]

    def pictures(self, numbers: Numbers) -> Tensor:
        """(n, C, H, W) in [-1, 1]."""
        return torch.from_numpy(self.levels(numbers)) / 127.5 - 1

    def batches(self, count: int | None = None) -> Iterator[Numbers]:
        """The numbers of all images, or of the first `count`, 100 at a time."""
        numbers = np.arange(len(self) if count is None else count)
        for start in range(0, len(numbers), BATCH):
            yield numbers[start : start + BATCH]


@dataclass(frozen=True, kw_only=True, eq=False)
class DataImages(ImageSet):
    """Rows of packed data, in an order of their own; pixels of 16 bits are rounded to 8."""

    data: PackedDataset
    rows: Numbers

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def key(self) -> str:
        """See `ImageSet`."""
        return hashlib.sha256(self.data.fingerprint.encode() + self.rows.tobytes()).hexdigest()[:16]

    def levels(self, numbers: Numbers) -> Levels:
        """See `ImageSet`."""
        pixels = self.data.images[self.rows[numbers]]
        levels: Levels = np.rint(pixels * (255 / self.data.white)).astype(np.uint8)
        return levels

    @property
    def names(self) -> list[str | None]:
        """The class of each image, if it has one."""
        if self.data.labels is None:
            return [None] * len(self)
        return [self.data.classes[label] for label in self.data.labels[self.rows]]


@dataclass(frozen=True, kw_only=True, eq=False)
class FileImages(ImageSet):
    """Pictures of `unetdiff sample`."""

    files: Sequence[Path]

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def key(self) -> str:
        """See `ImageSet`."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()[:16]

    def levels(self, numbers: Numbers) -> Levels:
        """See `ImageSet`.

        Raises:
            InputError: pictures of different shapes.
        """
        pictures = [read_png(self.files[number]).transpose(2, 0, 1) for number in numbers]
        for number, picture in zip(numbers, pictures, strict=True):
            if picture.shape != pictures[0].shape:
                expected, got = pictures[0].shape, picture.shape
                raise InputError(f"{self.files[number]}: a picture of the shape {expected} expected, got {got}")
        return np.stack(pictures)
