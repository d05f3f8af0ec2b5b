import numpy as np
import pytest

from unetdiff.features.similarity import cka


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def song(*features):
    """1 / (n (n - 3)) (tr(KL) + 1'K1 1'L1 / ((n - 1)(n - 2)) - 2 / (n - 2) 1'KL1), K and L without diagonals."""
    K, L = (X.reshape(len(X), -1) @ X.reshape(len(X), -1).T for X in features)
    np.fill_diagonal(K, 0)
    np.fill_diagonal(L, 0)
    n, one = len(K), np.ones(len(K))
    sums = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ K @ L @ one
    return (np.trace(K @ L) + sums) / (n * (n - 3))


def test_it_is_made_of_the_estimator_of_song_et_al(rng):
    X, Y = rng.normal(size=(9, 3)) + 2, rng.normal(size=(9, 2, 2))
    expected = song(X, Y) / np.sqrt(song(X, X) * song(Y, Y))
    assert cka([X], [Y])[0, 0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("batch", [100, 40])
def test_a_representation_is_like_itself_whatever_its_basis_scale_and_origin(rng, batch):
    X = rng.normal(size=(100, 6)) * np.arange(1, 7)
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    wide = np.pad(X @ rotation, ((0, 0), (0, 5)))
    similarity = cka([X], [X, 3 * X @ rotation + 7, wide, -X.reshape(100, 2, 3)], batch)
    np.testing.assert_allclose(similarity, 1, rtol=1e-12)


def test_another_scale_of_each_direction_is_another_representation(rng):
    X = rng.normal(size=(100, 6))
    assert cka([X], [X * [1, 10, 1, 1, 1, 1]])[0, 0] < 0.8


@pytest.mark.parametrize("width", [2, 500])
def test_independent_representations_have_none_however_wide_they_are(rng, width):
    """Where the usual estimate goes to 1 with the width."""
    similarity = [cka([rng.normal(size=(60, width))], [rng.normal(size=(60, width))])[0, 0] for _ in range(30)]
    assert abs(np.mean(similarity)) < 3 * np.std(similarity) / np.sqrt(30)


def test_of_two_coordinates_one_shared(rng):
    """X = (a, b), Y = (a, c) with independent a, b, c of variance 1: the trace norms give 1/2."""
    a, b, c = rng.normal(size=(3, 4000, 1))
    assert cka([np.hstack([a, b])], [np.hstack([a, c])], batch=1000)[0, 0] == pytest.approx(0.5, abs=0.03)


def test_batches_give_what_the_whole_gives_within_their_error(rng):
    Z = rng.normal(size=(1200, 4))
    X, Y = (Z @ rng.normal(size=(4, 30)) + rng.normal(size=(1200, 30)) for _ in range(2))
    whole = cka([X], [Y], batch=1200)[0, 0]
    parts = [cka([X], [Y], batch=100, seed=seed)[0, 0] for seed in range(8)]
    assert 0 < np.std(parts) < 0.02
    assert abs(np.mean(parts) - whole) < 0.01


def test_all_pairs_at_once_are_each_pair_alone_and_symmetric(rng):
    both = rng.normal(size=(50, 8))
    layers = [both @ rng.normal(size=(8, width)) for width in (3, 5, 9)]
    together = cka(layers, layers, batch=20)
    np.testing.assert_allclose(together, together.T, rtol=1e-12)
    assert together[0, 2] == pytest.approx(cka([layers[0]], [layers[2]], batch=20)[0, 0], rel=1e-12)


def test_no_image_is_left_out_and_sorted_data_are_mixed(rng):
    read = []

    class Watched:
        def __len__(self):
            return 103

        def __getitem__(self, rows):
            read.append(rows)
            return rows[:, None].astype(float)

    cka([Watched()], [np.arange(103.0)[:, None]], batch=10)
    assert sorted(np.concatenate(read)) == list(range(103))
    assert {len(rows) for rows in read} == {9, 10}
    assert min(np.ptp(rows) for rows in read) > 30


@pytest.mark.parametrize("images", [4, 8, 9, 15, 16, 17])
def test_every_batch_is_large_enough(images, rng):
    X = rng.normal(size=(images, 3))
    assert cka([X], [X], batch=8)[0, 0] == pytest.approx(1, rel=1e-12)


def test_a_constant_representation_has_no_similarity(rng):
    assert np.isnan(cka([np.ones((10, 3))], [rng.normal(size=(10, 3))])).all()


@pytest.mark.parametrize(
    ("first", "second", "batch", "message"),
    [
        ((9, 2), (10, 2), 256, "images: expected 9, as in the first representation, got 10"),
        ((3, 2), (3, 2), 256, "images: expected 4 or more, got 3"),
        ((9, 2), (9, 2), 7, "batch: expected 8 images or more, got 7"),
    ],
)
def test_refusals(first, second, batch, message):
    with pytest.raises(ValueError, match=message):
        cka([np.ones(first)], [np.ones(second)], batch)
