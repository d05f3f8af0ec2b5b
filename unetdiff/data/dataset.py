"""Packed images on disk: images.npy (N,C,H,W) uint8 that is mapped, not loaded, labels.npy and dataset.json."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["PackedDataset"]


@dataclass(frozen=True, kw_only=True)
class PackedDataset:
    """Images (N,C,H,W) with labels (N,) in [0, len(classes)), or None where the source has none.

    Attributes:
        folder: Where the packed files are.
        images: Memory-mapped pixels, 0 to 255.
        labels: One class number per image.
        classes: Names of the classes; empty without labels.
        fingerprint: sha256 of pixels and labels.
        unreadable: Number of images that were skipped because they could not be decoded.
    """

    folder: Path
    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    fingerprint: str
    unreadable: int

    @classmethod
    def open(cls, folder: Path) -> "PackedDataset":
        """The dataset that `unetdiff.data.prepare` packed into `folder`."""
        facts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        return cls(
            folder=folder,
            images=np.load(folder / "images.npy", mmap_mode="r"),
            labels=np.load(folder / "labels.npy") if facts["classes"] else None,
            classes=tuple(facts["classes"]),
            fingerprint=facts["fingerprint"],
            unreadable=facts["unreadable"],
        )

    def __len__(self) -> int:
        return len(self.images)

    def __reduce__(self) -> tuple[Callable[[Path], "PackedDataset"], tuple[Path]]:
        # Spawned workers map the file again; a pickled memory map would be a copy of every image.
        return PackedDataset.open, (self.folder,)
