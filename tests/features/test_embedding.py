import sys

import numpy as np
import pytest

from unetdiff.errors import InputError
from unetdiff.features.embedding import plane


@pytest.fixture
def clusters():
    """Three of twenty images, far from each other in 120 dimensions, as maps (6, 5, 4)."""
    rng = np.random.default_rng(0)
    centres = 20 * rng.normal(size=(3, 6, 5, 4))
    return np.repeat(centres, 20, axis=0) + rng.normal(size=(60, 6, 5, 4))


@pytest.mark.parametrize(("method", "library"), [("tsne", "sklearn"), ("umap", "umap")])
def test_clusters_stay_together(clusters, method, library):
    pytest.importorskip(library)
    points = plane(clusters, method).reshape(3, 20, 2)
    assert np.array_equal(points.reshape(60, 2), plane(clusters, method))
    centres, radius = points.mean(axis=1), max(np.linalg.norm(p - p.mean(axis=0), axis=1).max() for p in points)
    distances = [np.linalg.norm(centres[i] - centres[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(distances) > 2 * radius


@pytest.mark.parametrize(("method", "module"), [("tsne", "sklearn.manifold"), ("umap", "umap")])
def test_a_library_that_is_missing(clusters, method, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match="method: expected .*, got none; pip install"):
        plane(clusters, method)


def test_too_few_images(clusters):
    with pytest.raises(ValueError, match="images: expected 4 or more, got 3"):
        plane(clusters[:3])
