"""Precision, recall, density and coverage: how much of each set of images lies among those of the other.

Around each image of a set lies a ball as large as the distance to its k-th nearest neighbour there; the union of the
balls stands for what such images can be. With real images y_j, generated x_i and their balls B_k:

    precision = mean_i 1[x_i in some B_k(y_j)]        recall   = mean_j 1[y_j in some B_k(x_i)]
    density   = mean_i |{j: x_i in B_k(y_j)}| / k     coverage = mean_j 1[some x_i in B_k(y_j)]

Precision and recall are those of Kynkaanniemi et al. 2019 (equations 1 and 2), density and coverage of Naeem et al.
2020 (section 3), which outliers mislead less. Each is a mean over images. Distances are computed a slice at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetdiff.evaluation.distances import Features
from unetdiff.plain import require

__all__ = ["Manifolds"]

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

ROWS = 500


@dataclass(frozen=True, kw_only=True)
class Manifolds:
    """What each image adds to the means above.

    Attributes:
        precision: (N,) of generated images.
        recall: (M,) of real images.
        density: (N,) of generated images.
        coverage: (M,) of real images.
    """

    precision: Flags
    recall: Flags
    density: Vector
    coverage: Flags

    @classmethod
    def of(cls, generated: Features, real: Features, k: int = 5) -> "Manifolds":
        """Of features (N, F) and (M, F).

        Raises:
            ValueError: no more than k images in one of the sets, or different numbers of features.
        """
        for name, features in (("generated", generated), ("real", real)):
            require(1 <= k < len(features), "k", f"a number from 1 to {len(features) - 1}, with the {name} images", k)
        width = real.shape[1]
        require(generated.shape[1] == width, "generated", f"{width} features", generated.shape[1])
        center = real.mean(axis=0, dtype=np.float64)  # one for all distances: those of equal images are then equal
        x, y = generated.astype(np.float64) - center, real.astype(np.float64) - center
        of_x, of_y = _squared_radii(x, k), _squared_radii(y, k)
        inside, recalled, covered = np.zeros(len(x)), np.zeros(len(y), bool), np.zeros(len(y), bool)
        for part, distances in _squared_distances(x, y):
            among_real = distances <= of_y
            inside[part] = among_real.sum(axis=1)
            covered |= among_real.any(axis=0)
            recalled |= (distances <= of_x[part, None]).any(axis=0)
        return cls(precision=inside > 0, recall=recalled, density=inside / k, coverage=covered)


def _squared_radii(x: Vector, k: int) -> Vector:
    """To the k-th nearest other row; a row is its own nearest."""
    radii = np.empty(len(x))
    for part, distances in _squared_distances(x, x):
        rows = np.arange(len(distances))
        distances[rows, part.start + rows] = 0  # rounding may leave it above another one's
        radii[part] = np.partition(distances, k, axis=1)[:, k]
    return radii


def _squared_distances(x: Vector, y: Vector) -> Iterator[tuple[slice, Vector]]:
    """|x_i - y_j|^2 = |x_i|^2 + |y_j|^2 - 2 x_i.y_j, of features about a common mean, where little cancels."""
    of_y = np.square(y).sum(axis=1)
    for start in range(0, len(x), ROWS):
        part = slice(start, min(start + ROWS, len(x)))
        rows = x[part]
        yield part, np.maximum(np.square(rows).sum(axis=1)[:, None] + of_y - 2 * rows @ y.T, 0)
