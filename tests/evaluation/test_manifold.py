"""Precision, recall, density and coverage against their definitions, in closed form and by scikit-learn."""

import numpy as np
import pytest

from unetdiff.evaluation import manifold
from unetdiff.evaluation.manifold import Manifolds


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def line(*places):
    return np.array(places, float)[:, None]


def means(found):
    return [float(terms.mean()) for terms in (found.precision, found.recall, found.density, found.coverage)]


def test_on_a_line_they_can_be_counted():
    """Real images at 0, 1, 2, 10: their balls of one neighbour reach 1, 1, 1 and 8; generated at 0.5, 1.5 and 30."""
    found = Manifolds.of(line(0.5, 1.5, 30), line(0, 1, 2, 10), k=1)
    assert found.precision.tolist() == [True, True, False]
    assert found.density.tolist() == [2, 2, 0]
    assert found.coverage.tolist() == [True, True, True, False]  # the ball of 10 reaches 2 to 18
    assert found.recall.tolist() == [True, True, True, True]  # the ball of 30 reaches 1.5 to 58.5


def test_copies_lie_within_each_others_balls(rng):
    """Where the ball of an image is a point, too: rounding moves none of them."""
    real = rng.normal(size=(40, 64)) + 100
    found = Manifolds.of(np.repeat(real, 4, axis=0), real, k=3)
    assert found.recall.all()
    assert found.precision.all()


def test_an_outlier_makes_precision_better_than_density():
    real = line(*range(20), 1000)
    generated = line(*np.linspace(500, 900, 20))
    found = Manifolds.of(generated, real, k=2)
    assert found.precision.mean() == 1
    assert found.density.mean() == 1 / 2
    assert found.coverage.sum() == 1


@pytest.mark.parametrize("k", [1, 3, 7])
def test_they_are_what_their_definitions_say(rng, k, monkeypatch):
    neighbors = pytest.importorskip("sklearn.neighbors")
    monkeypatch.setattr(manifold, "ROWS", 13)
    x, y = rng.normal(size=(40, 5)) * 0.8 + 0.3, rng.normal(size=(50, 5))
    radii = {
        name: neighbors.NearestNeighbors(n_neighbors=k + 1).fit(z).kneighbors(z)[0][:, k]
        for name, z in (("x", x), ("y", y))
    }
    distances = np.array([[np.linalg.norm(a - b) for b in y] for a in x])
    inside = distances <= radii["y"]
    expected = [
        inside.any(axis=1).mean(),
        (distances <= radii["x"][:, None]).any(axis=0).mean(),
        inside.sum() / (k * len(x)),
        inside.any(axis=0).mean(),
    ]
    assert means(Manifolds.of(x, y, k)) == pytest.approx(expected, abs=1e-12)
    assert 0 < min(expected) < 1


def test_a_set_covers_itself_far_from_the_origin(rng):
    x = rng.normal(size=(30, 4)) + 1e5
    assert means(Manifolds.of(x, x, 3)) == pytest.approx([1, 1, (3 + 1) / 3, 1], rel=0.1)


def test_swapping_the_sets_swaps_precision_and_recall(rng):
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(25, 3)) + 0.7
    there, back = Manifolds.of(x, y, 4), Manifolds.of(y, x, 4)
    np.testing.assert_array_equal(there.precision, back.recall)
    np.testing.assert_array_equal(there.recall, back.precision)


@pytest.mark.parametrize(
    ("generated", "real", "message"),
    [
        ((5, 3), (9, 3), "k: expected a number from 1 to 4, with the generated images, got 5"),
        ((9, 3), (5, 3), "k: expected a number from 1 to 4, with the real images, got 5"),
        ((9, 2), (9, 3), "generated: expected 3 features, got 2"),
    ],
)
def test_what_is_refused(generated, real, message):
    with pytest.raises(ValueError, match=message):
        Manifolds.of(np.zeros(generated), np.zeros(real), k=5)
