import numpy as np
import pytest

from unetdiff.evaluation import neighbours
from unetdiff.evaluation.neighbours import nearest


def brute_force(images, reference):
    differences = images[:, None].astype(np.float64) - reference[None].astype(np.float64)
    return np.sqrt(np.square(differences).reshape(len(images), len(reference), -1).mean(axis=2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("chunk", [1, 200, neighbours.CHUNK_NUMBERS])
def test_neighbours_are_those_of_all_pairs(monkeypatch, dtype, chunk):
    monkeypatch.setattr(neighbours, "CHUNK_NUMBERS", chunk)
    random = np.random.default_rng(0)
    images, reference = (random.uniform(0, 250, (rows, 2, 5, 4)).astype(dtype) for rows in (7, 60))
    found, expected = nearest(images, reference, 9), brute_force(images, reference)
    assert np.array_equal(found.indices, expected.argsort(axis=1)[:, :9])
    np.testing.assert_allclose(found.distances, np.sort(expected, axis=1)[:, :9], rtol=1e-14)


def test_an_image_of_the_set_is_its_own_neighbour_at_distance_zero():
    reference = np.random.default_rng(0).integers(0, 256, (300, 1, 28, 28), dtype=np.uint8)
    found = nearest(reference[17:20], reference, 2)
    assert found.indices[:, 0].tolist() == [17, 18, 19]
    assert found.distances[:, 0].tolist() == [0, 0, 0]
    assert (found.distances[:, 1] > 0).all()


def test_distances_are_means_over_pixels():
    found = nearest(np.zeros((1, 3, 8, 8), np.float32), np.full((1, 3, 8, 8), 0.25, np.float32), 1)
    assert found.distances.tolist() == [[0.25]]


def test_equal_distances_rank_in_the_order_of_the_set():
    found = nearest(np.zeros((1, 2)), np.array([[2.0, 0], [0, 1], [1, 0], [0, -1]]), 3)
    assert found.indices.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("shape", "count", "words"),
    [((1, 3, 4), 1, "images: expected the reference's shape"), ((1, 2, 4), 6, "count: expected 1 to the 5 reference")],
)
def test_what_does_not_fit_is_refused(shape, count, words):
    with pytest.raises(ValueError, match=words):
        nearest(np.zeros(shape), np.zeros((5, 2, 4)), count)
