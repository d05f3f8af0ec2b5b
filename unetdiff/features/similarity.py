"""How alike two representations of the same images are, whatever their widths: linear CKA.

    CKA(X, Y) = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)),    K = X X^T, L = Y Y^T

Kornblith et al. 2019, equation 4 (https://arxiv.org/abs/1905.00414). Each HSIC is the mean over batches of its unbiased
estimate (Nguyen et al. 2021, equations 2 and 3, https://arxiv.org/abs/2010.15327), so that memory does not grow with
the number of images and independent representations have 0 on average, however wide they are:

    HSIC_1(K, L) = <A(K), A(L)> / (n (n - 3))

where A is U-centring (Székely and Rizzo 2014, equation 1.6): with the diagonal set to zero,

    A_ij = K_ij - sum_j K_ij / (n - 2) - sum_i K_ij / (n - 2) + sum_ij K_ij / ((n - 1)(n - 2)),    A_ii = 0
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unetdiff.plain import require

__all__ = ["Representation", "cka"]

FEWEST = 4
"""Images that the estimate needs; what is split into batches of at most twice as many has no smaller one."""

Floats = NDArray[np.float64]


class Representation(Protocol):
    """Features (N, ...) of N images, read a few rows at a time: an array, or rows of a store."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, index: NDArray[np.int64], /) -> NDArray[np.floating]:
        """Those of some images."""


def cka(first: Sequence[Representation], second: Sequence[Representation], batch: int = 256, seed: int = 0) -> Floats:
    """(len(first), len(second)): of each of the one with each of the other.

    Args:
        first: of N images each.
        second: of the same images.
        batch: most images at a time; a batch has a matrix of their similarities for each representation.
        seed: of the order in which images come together.

    Returns:
        At most about 1; NaN where a representation is the same for all images.
    """
    images = len(first[0])
    require(batch >= 2 * FEWEST, "batch", f"{2 * FEWEST} images or more", batch)
    require(images >= FEWEST, "images", f"{FEWEST} or more", images)
    for one in (*first, *second):
        require(len(one) == images, "images", f"{images}, as in the first representation", len(one))
    cross, of_first, of_second = np.zeros((len(first), len(second))), np.zeros(len(first)), np.zeros(len(second))
    for rows in _batches(images, batch, seed):
        K, L = (np.stack([_centred(one[rows]) for one in side]) for side in (first, second))
        weight = len(rows) / images / (len(rows) * (len(rows) - 3))
        cross += weight * np.einsum("aij,bij->ab", K, L, optimize=True)
        of_first += weight * np.einsum("aij,aij->a", K, K)
        of_second += weight * np.einsum("bij,bij->b", L, L)
    with np.errstate(invalid="ignore", divide="ignore"):
        similarity: Floats = cross / np.sqrt(np.outer(of_first, of_second))
    return similarity


def _centred(features: NDArray[np.floating]) -> Floats:
    """A(X X^T), (n, n), of features (n, ...)."""
    X = features.reshape(len(features), -1).astype(np.float64)
    X -= X.mean(axis=0)  # centring takes it away in any case, here before it costs digits
    K, n = X @ X.T, len(X)
    np.fill_diagonal(K, 0)
    sums = K.sum(axis=0)
    A: Floats = K - (sums[:, None] + sums) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(A, 0)
    return A


def _batches(images: int, batch: int, seed: int) -> list[NDArray[np.int64]]:
    """All images in random order, since data often lie class by class, in parts of nearly the same size."""
    order = np.random.default_rng(seed).permutation(images)
    parts = np.array_split(order, -(-images // batch))
    return [np.sort(part) for part in parts]
