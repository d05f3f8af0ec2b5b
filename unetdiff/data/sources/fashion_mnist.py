"""Fashion-MNIST: 60,000 + 10,000 grey images of clothes, 28x28, ten classes, in MNIST's IDX files.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017.
"""

import gzip
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from unetdiff.data.config import Split
from unetdiff.data.framing import Framing
from unetdiff.data.sources.rows import read_rows, reading
from unetdiff.data.sources.source import Chunk, checked_labels
from unetdiff.errors import InputError

__all__ = ["CLASSES", "NAMES", "FashionMnist", "find_fashion_mnist", "search_folders"]

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
NAMES: dict[Split, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
UNSIGNED_BYTE = 8  # IDX's code of the element type


@dataclass(frozen=True)
class FashionMnist:
    """One split of Fashion-MNIST in `folder`, compressed or not."""

    folder: Path
    split: Split

    @property
    def files(self) -> Sequence[Path]:
        """The images and the labels."""
        images, labels = (_existing(self.folder / name) for name in NAMES[self.split])
        if images is None or labels is None:
            raise InputError(f"{self.folder}: expected {' and '.join(NAMES[self.split])} (or .gz), got no such files")
        return images, labels

    @property
    def classes(self) -> tuple[str, ...]:
        """The ten kinds of clothes, in the order of their labels."""
        return CLASSES

    def __len__(self) -> int:
        with _open(self.files[0]) as stream:
            return _read_shape(stream, 3, self.files[0])[0]

    def chunks(self, framing: Framing) -> Iterator[Chunk]:
        """The images, brought to `framing`, with their labels."""
        images, _ = self.files
        labels, start = self._labels(), 0
        with _open(images) as stream:
            for rows in read_rows(stream, _read_shape(stream, 3, images), images):
                yield Chunk(images=framing.frame_all(rows[:, None]), labels=labels[start : start + len(rows)])
                start += len(rows)

    def _labels(self) -> NDArray[np.int64]:
        path = self.files[1]
        with _open(path) as stream:
            pieces = list(read_rows(stream, _read_shape(stream, 1, path), path))
        return checked_labels(np.concatenate(pieces), len(self), len(CLASSES), str(path))


def find_fashion_mnist() -> Path:
    """The first folder that has the files; InputError that says how to get them."""
    for folder in search_folders():
        if all(_existing(folder / name) for names in NAMES.values() for name in names):
            return folder
    searched = ", ".join(map(str, search_folders()))
    raise InputError(f"fashion-mnist: not found in {searched}; `unetdiff data fashion-mnist` fetches it")


def search_folders() -> list[Path]:
    """Where Fashion-MNIST may be, best first; the last one is where it is fetched to."""
    own = os.environ.get("UNETDIFF_DATA")
    return [
        *([Path(own) / "fashion-mnist"] if own else []),
        Path("/usr/share/datasets/fashion-mnist"),
        Path.home() / ".cache/unetdiff/fashion-mnist",
    ]


def _existing(path: Path) -> Path | None:
    candidates = (path, path.with_name(path.name + ".gz"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb"))


def _read_shape(stream: BinaryIO, dimensions: int, path: Path) -> tuple[int, ...]:
    """The IDX header: two zero bytes, the element type, the number of dimensions, then each as big-endian uint32."""
    with reading(path):
        header = stream.read(4 + 4 * dimensions)
    if header[:4] != bytes([0, 0, UNSIGNED_BYTE, dimensions]) or len(header) < 4 + 4 * dimensions:
        raise InputError(f"{path}: expected an IDX file of {dimensions} dimensions, got the header {header[:4].hex()}")
    return tuple(int(n) for n in np.frombuffer(header, dtype=">u4", offset=4))
