"""Nearest neighbours: the images of a reference set that are closest to others, number by number.

    d(a, b)^2 = sum_i (a_i - b_i)^2 / D

is the mean over all D numbers of an image, so that distances of images of different sizes compare. The reference set is
read a piece at a time: it may be a memory map that is larger than memory.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetdiff.data.pixels import Pixels
from unetdiff.plain import require

__all__ = ["Images", "Neighbours", "nearest"]

Images: TypeAlias = "NDArray[np.uint8] | NDArray[np.uint16] | Pixels | NDArray[np.float32] | NDArray[np.float64]"
"""(N, ...), a row for each image, or for its features."""

CHUNK_NUMBERS = 2**24
SPARE = 2
"""How many times as many candidates as neighbours: their order by rounded products is not quite that of distances."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """`indices` (N, k) of reference images and their `distances` (N, k), nearest first."""

    indices: NDArray[np.int64]
    distances: NDArray[np.float64]


def nearest(images: Images, reference: Images, count: int, device: torch.device | str = "cpu") -> Neighbours:
    """The `count` nearest of `reference` to each of `images`, in the units of both.

    Raises:
        ValueError: images of another shape than the reference's, or fewer reference images than asked for.
    """
    shape = reference.shape[1:]
    require(images.shape[1:] == shape, "images", f"the reference's shape {shape}", images.shape[1:])
    require(1 <= count <= len(reference), "count", f"1 to the {len(reference)} reference images", count)
    candidates = _candidates(images, reference, min(SPARE * count, len(reference)), device)
    distances = np.stack([_distances(*pair, reference) for pair in zip(images, candidates, strict=True)])
    order = distances.argsort(axis=1, kind="stable")[:, :count]
    return Neighbours(
        indices=np.take_along_axis(candidates, order, axis=1),
        distances=np.take_along_axis(distances, order, axis=1),
    )


@torch.no_grad()
def _candidates(images: Images, reference: Images, count: int, device: torch.device | str) -> NDArray[np.int64]:
    """Indices (N, count) of smallest |b|^2 - 2 a.b, which is |a - b|^2 but for |a|^2: a matrix product."""
    a = _rows(images, device)
    scores = torch.full((len(a), count), math.inf, device=device)
    indices = torch.zeros((len(a), count), dtype=torch.int64, device=device)
    for start, b in _pieces(reference, device):
        piece = b.square().sum(dim=1) - 2 * a @ b.T
        numbers = torch.arange(start, start + len(b), device=device).expand(len(a), -1)
        scores, chosen = torch.cat([scores, piece], dim=1).topk(count, dim=1, largest=False)
        indices = torch.cat([indices, numbers], dim=1).gather(1, chosen)
    # In the order of the reference set: equal distances then rank alike whatever the device.
    found: NDArray[np.int64] = indices.sort(dim=1).values.cpu().numpy()
    return found


def _pieces(reference: Images, device: torch.device | str) -> Iterator[tuple[int, Tensor]]:
    rows = max(1, CHUNK_NUMBERS // math.prod(reference.shape[1:]))
    for start in range(0, len(reference), rows):
        yield start, _rows(reference[start : start + rows], device)


def _rows(images: Images, device: torch.device | str) -> Tensor:
    return torch.from_numpy(images.astype(np.float32)).flatten(1).to(device)


def _distances(image: NDArray[np.generic], indices: NDArray[np.int64], reference: Images) -> NDArray[np.float64]:
    """From one image to some of the reference."""
    differences = reference[indices].astype(np.float64) - image.astype(np.float64)
    distances: NDArray[np.float64] = np.sqrt(np.square(differences).reshape(len(indices), -1).mean(axis=1))
    return distances
