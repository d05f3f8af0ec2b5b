"""Packed images on disk: images.npy (N,C,H,W) that is mapped, not loaded, dataset.json, and what is known of them.

That is labels.npy (N,) int64, captions.json (a list of N strings) and vectors.npy (N,D) float32, each where the source
has it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unetdiff.data.pixels import Pixels, white

__all__ = ["PackedDataset"]


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
        """The dataset that `unetdiff.data.prepare` packed into `folder`."""
        facts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        captions, vectors, spread = (folder / name for name in ("captions.json", "vectors.npy", "spread.npy"))
        return cls(
            folder=folder,
            images=np.load(folder / "images.npy", mmap_mode="r"),
            labels=np.load(folder / "labels.npy") if facts["classes"] else None,
            classes=tuple(facts["classes"]),
            captions=tuple(json.loads(captions.read_text(encoding="utf-8"))) if captions.is_file() else None,
            vectors=np.load(vectors) if vectors.is_file() else None,
            fingerprint=facts["fingerprint"],
            unreadable=facts["unreadable"],
            spread=np.load(spread, mmap_mode="r") if spread.is_file() else None,
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
