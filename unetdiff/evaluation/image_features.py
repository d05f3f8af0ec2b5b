"""Features of images: numbers that are alike where images are, in which captions are found and distances measured.

A network that was trained on other images makes F numbers of each. Which network that is, is an argument of whatever
is measured with it; what was measured with different ones does not compare.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from unetdiff.atomic import replacing
from unetdiff.data import PackedDataset
from unetdiff.plain import require

__all__ = ["ImageFeatures", "as_rgb", "dataset_features"]

BATCH = 100


class ImageFeatures(Protocol):
    """A network with the preparation of its images."""

    @property
    def key(self) -> str:
        """Hexadecimal digits that stand for both."""

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] -> (N, F)."""


def as_rgb(images: Tensor, side: int) -> Tensor:
    """(N, 1 or 3, H, W) in [-1, 1] -> (N, 3, side, side) in [-1, 1], by bicubic interpolation."""
    require(images.shape[1] in (1, 3), "images", "1 or 3 channels", images.shape[1])
    scaled = F.interpolate(images, size=(side, side), mode="bicubic", antialias=True)
    return scaled.clamp(-1, 1).expand(-1, 3, -1, -1)


def dataset_features(data: PackedDataset, features: ImageFeatures) -> NDArray[np.float32]:
    """(N, F) of all its images, kept beside them."""
    path = data.folder / f"features-{features.key}.npy"
    if not path.exists():
        starts = tqdm(range(0, len(data), BATCH), desc="features of images", unit=" batches", disable=None)
        rows = np.concatenate([_rows(data, slice(start, start + BATCH), features) for start in starts])
        with replacing(path) as staged, staged.open("wb") as file:
            np.save(file, rows)
    kept: NDArray[np.float32] = np.load(path)
    return kept


def _rows(data: PackedDataset, part: slice, features: ImageFeatures) -> NDArray[np.float32]:
    images = torch.from_numpy(data.images[part] / (data.white / 2) - 1).float()
    return features(images).float().cpu().numpy()
