"""Distances between sets of images, in a space of features, with their standard errors.

Frechet distance of Gaussians fitted to both sets (Dowson and Landau 1982; Heusel et al. 2017, equation 6):

    d^2 = |mu_x - mu_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2))

Kernel distance, the unbiased squared maximum mean discrepancy of KID (Binkowski et al. 2018, section 3; Gretton et al.
2012, equation 3), of m images x and n images y with F features each:

    MMD^2 = sum_{i != j} k(x_i, x_j) / (m (m - 1)) + sum_{i != j} k(y_i, y_j) / (n (n - 1)) - 2 sum k(x_i, y_j) / (m n)
    k(a, b) = (a.b / F + 1)^3

Unlike the Frechet distance it does not shrink with the number of images on the average, and it may be negative. Errors
are jackknife estimates (Efron and Stein 1981) over the images x; the reference y is taken as given.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetdiff.plain import require

__all__ = ["Distance", "Estimate", "Features", "FrechetDistance", "KernelDistance"]

Features = NDArray[np.float32] | NDArray[np.float64]
"""(N, F), a row for each image."""

Vector = NDArray[np.float64]
Rows = NDArray[np.int64]

PARTS = 20
ROWS = 500
ERRORS = 2.0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number measured on images, and the same number without the g-th part of them: `replicates` (G,)."""

    value: float
    replicates: Vector

    @property
    def standard_error(self) -> float:
        """se^2 = (G - 1) / G sum_g (replicate_g - their mean)^2."""
        return float(np.sqrt((len(self.replicates) - 1) * self.replicates.var()))

    @property
    def resolved(self) -> bool:
        """Whether the value differs from 0 by more than two standard errors."""
        return abs(self.value) > ERRORS * self.standard_error

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The difference; its error is small where both were measured on images of the same seeds, in their order."""
        return Estimate(value=self.value - other.value, replicates=self.replicates - other.replicates)


class Distance(ABC):
    """From sets of images to the reference that it was made with."""

    def __init__(self, reference: Features) -> None:
        self._reference = _checked(reference, "reference", 2)

    def __call__(self, features: Features) -> Estimate:
        """Distance of a set of at least 3 images, whose replicates leave some of them out.

        Raises:
            ValueError: too few images, another number of features than the reference's, or values that are not finite.
        """
        return self._estimate(self._checked(features))

    def value(self, features: Features) -> float:
        """The distance without replicates, which take most of the time."""
        return self._value(self._checked(features))

    def resampled(self, features: Features, draws: Iterable[Rows]) -> Vector:
        """The distances of the images of each draw, (draws,): some of these, maybe repeated, as many as there are.

        A pair of an image with itself, which other images would not have, counts in none of them.
        """
        return self._resampled(self._checked(features), draws)

    def _checked(self, features: Features) -> Vector:
        x, width = _checked(features, "features", 3), self._reference.shape[1]
        require(x.shape[1] == width, "features", f"{width} numbers for each image, as the reference", x.shape[1])
        return x

    @abstractmethod
    def _estimate(self, x: Vector) -> Estimate: ...

    @abstractmethod
    def _value(self, x: Vector) -> float: ...

    @abstractmethod
    def _resampled(self, x: Vector, draws: Iterable[Rows]) -> Vector: ...


class FrechetDistance(Distance):
    """d^2 above; each of 20 replicates leaves a twentieth of the images out."""

    def __init__(self, reference: Features) -> None:
        super().__init__(reference)
        self._gaussian = _gaussian(self._reference)

    def _estimate(self, x: Vector) -> Estimate:
        parts = np.array_split(np.arange(len(x)), min(PARTS, len(x)))
        replicates = [self._value(np.delete(x, part, axis=0)) for part in parts]
        return Estimate(value=self._value(x), replicates=np.array(replicates))

    def _resampled(self, x: Vector, draws: Iterable[Rows]) -> Vector:
        return np.array([self._value(x[rows]) for rows in draws])

    def _value(self, x: Vector) -> float:
        """tr (C_x C_y)^(1/2) is the sum of the singular values of R_x R_y^T, where C = R^T R."""
        (mean_x, root_x), (mean_y, root_y) = _gaussian(x), self._gaussian
        spread = np.square(root_x).sum() + np.square(root_y).sum() - 2 * np.linalg.norm(root_x @ root_y.T, "nuc")
        return float(np.square(mean_x - mean_y).sum() + spread)


class KernelDistance(Distance):
    """MMD^2 above; each replicate leaves one image out."""

    def __init__(self, reference: Features) -> None:
        super().__init__(reference)
        self._within = float(_sums_to_others(self._reference).mean()) / (len(self._reference) - 1)

    def _estimate(self, x: Vector) -> Estimate:
        within, between = _sums_to_others(x), _kernel_sums(x, self._reference) / len(self._reference)
        return Estimate(
            value=float(self._combined(within.sum(), between.sum(), len(x))),
            replicates=self._combined(within.sum() - 2 * within, between.sum() - between, len(x) - 1),
        )

    def _value(self, x: Vector) -> float:
        between = _kernel_sums(x, self._reference) / len(self._reference)
        return float(self._combined(_sums_to_others(x).sum(), between.sum(), len(x)))

    def _resampled(self, x: Vector, draws: Iterable[Rows]) -> Vector:
        """An image that a draw has w times weighs w: sum over i != j of w_i w_j k(x_i, x_j), for all draws at once."""
        times = np.stack([np.bincount(rows, minlength=len(x)) for rows in draws], axis=1).astype(np.float64)
        within, pairs = _weighted_sums_to_others(x, times), len(x) ** 2 - np.square(times).sum(axis=0)
        between = _kernel_sums(x, self._reference) / len(self._reference)
        result: Vector = within / pairs + self._within - 2 * between @ times / len(x)
        return result

    def _combined(self, within: Vector, between: Vector, count: int) -> Vector:
        result: Vector = within / (count * (count - 1)) + self._within - 2 * between / count
        return result


def _checked(features: Features, name: str, least: int) -> Vector:
    require(features.ndim == 2 and len(features) >= least, name, f"(N, F) with N >= {least}", features.shape)
    require(bool(np.isfinite(features).all()), name, "finite numbers", "NaN or infinity")
    return features.astype(np.float64)


def _gaussian(x: Vector) -> tuple[Vector, Vector]:
    """Mean (F,) and R with R^T R the unbiased covariance."""
    mean = x.mean(axis=0)
    return mean, np.linalg.qr((x - mean) / np.sqrt(len(x) - 1)).R


def _sums_to_others(x: Vector) -> Vector:
    """Sum over j != i of k(x_i, x_j)."""
    return _kernel_sums(x, x) - _kernel(np.square(x).sum(axis=1), x.shape[1])


def _weighted_sums_to_others(x: Vector, weights: Vector) -> Vector:
    """Sum over i and j != i of w_i w_j k(x_i, x_j), for each column w of the weights (N, D): (D,)."""
    sums = -_kernel(np.square(x).sum(axis=1), x.shape[1]) @ np.square(weights)
    for start in range(0, len(x), ROWS):
        part = slice(start, start + ROWS)
        sums += (weights[part] * (_kernel(x[part] @ x.T, x.shape[1]) @ weights)).sum(axis=0)
    return sums


def _kernel_sums(x: Vector, y: Vector) -> Vector:
    """Sum over j of k(x_i, y_j), a slice of x at a time, since a whole matrix of 10,000 x 10,000 takes 800 MB."""
    return np.concatenate(
        [_kernel(x[start : start + ROWS] @ y.T, x.shape[1]).sum(axis=1) for start in range(0, len(x), ROWS)]
    )


def _kernel(products: Vector, width: int) -> Vector:
    base = products / width + 1
    return base * base * base  # ten times as fast as base**3
