"""Features as points in a plane, near to each other where the features are: t-SNE or UMAP.

van der Maaten and Hinton 2008 (https://jmlr.org/papers/v9/vandermaaten08a.html); McInnes et al. 2018
(https://arxiv.org/abs/1802.03426).
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unetdiff.errors import InputError
from unetdiff.plain import require

__all__ = ["Method", "plane"]

Method = Literal["tsne", "umap"]

PERPLEXITY = 30.0
COMPONENTS = 50
"""To which features are reduced first, as van der Maaten and Hinton do: it takes noise away, and time."""


def plane(features: NDArray[np.floating], method: Method = "tsne", seed: int = 0) -> NDArray[np.float64]:
    """(N, ...) -> (N, 2); the same with the same seed.

    Raises:
        InputError: the library of this method is not installed.
        ValueError: fewer than 4 images.
    """
    require(len(features) >= 4, "images", "4 or more", len(features))
    reduced = _principal(features.reshape(len(features), -1).astype(np.float64))
    points: NDArray[np.float64] = _tsne(reduced, seed) if method == "tsne" else _umap(reduced, seed)
    return points


def _principal(X: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: N803  # the data matrix
    """The first principal components, by the covariance matrix."""
    X = X - X.mean(axis=0)
    _, axes = np.linalg.eigh(X.T @ X)
    components: NDArray[np.float64] = X @ axes[:, ::-1][:, :COMPONENTS]
    return components


def _tsne(features: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise InputError("method: expected scikit-learn, got none; pip install 'unetdiff[eval]'") from error
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    points: NDArray[np.float64] = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)
    return points


def _umap(features: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    try:
        from umap import UMAP
    except ImportError as error:
        raise InputError("method: expected umap-learn, got none; pip install umap-learn") from error
    points: NDArray[np.float64] = UMAP(random_state=seed, n_jobs=1).fit_transform(features)
    return points
