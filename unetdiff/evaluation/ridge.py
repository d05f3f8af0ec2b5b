"""Ridge regression, in closed form (Hoerl and Kennard 1970): a linear map that predicts rows of numbers from others.

    W = (Z^T Z / N + lambda I)^-1 Z^T (Y - mean Y) / N          Z = (X - mean X) / std X

lambda counts in variances of a predictor, so that it means the same for any number of rows and any scale of X.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetdiff.evaluation.distances import Features
from unetdiff.plain import require

__all__ = ["Ridge"]

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """y = (x - mean_x) / scale W + mean_y."""

    mean_x: Matrix
    scale: Matrix
    weights: Matrix
    mean_y: Matrix

    @classmethod
    def fit(cls, x: Features, y: Features, penalty: float) -> "Ridge":
        """To rows x (N, F) and y (N, D); a predictor that never changes is ignored.

        Raises:
            ValueError: unequal numbers of rows, none at all, or a penalty of 0 or less.
        """
        require(len(x) == len(y) > 0, "rows", f"as many of x as of y, {len(y)}, and at least one", len(x))
        require(penalty > 0, "penalty", "a positive number", penalty)
        mean_x, mean_y = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
        changes = x.min(axis=0) < x.max(axis=0)  # a rounded standard deviation need not be 0
        scale = np.where(changes, x.std(axis=0, dtype=np.float64), 1.0)
        z = (x - mean_x) / scale
        gram = z.T @ z / len(z) + penalty * np.eye(z.shape[1])
        weights = np.linalg.solve(gram, z.T @ (y - mean_y) / len(z))
        return cls(mean_x=mean_x, scale=scale, weights=weights, mean_y=mean_y)

    def __call__(self, x: Features) -> Matrix:
        """(N, F) to (N, D)."""
        predicted: Matrix = (x - self.mean_x) / self.scale @ self.weights + self.mean_y
        return predicted
