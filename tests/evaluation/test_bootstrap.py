"""Intervals hold what they should as often as they say; replicates of distances are those of the drawn images."""

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from unetdiff.evaluation.bootstrap import Interval, Resampling
from unetdiff.evaluation.distances import FrechetDistance, KernelDistance
from unetdiff.evaluation.kernel_subsets import KernelSubsets

BOTH = pytest.mark.parametrize("kind", [FrechetDistance, KernelDistance])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_interval_of_a_mean_is_that_of_a_normal_number(rng):
    terms = rng.normal(size=400)
    interval = Resampling(draws=2000).of_mean(terms)
    half = 1.96 * terms.std() / 20
    assert interval.low == pytest.approx(terms.mean() - half, abs=half / 10)
    assert interval.high == pytest.approx(terms.mean() + half, abs=half / 10)


def test_a_share_keeps_within_its_range():
    interval = Resampling().of_mean(np.ones(5, bool))
    assert (interval.low, interval.high) == (1, 1)


def test_replicates_beside_their_number_are_moved_onto_it():
    assert Interval.around(3, np.array([9.0, 10.0, 11.0])) == Interval(
        low=pytest.approx(2.05), high=pytest.approx(3.95)
    )


@BOTH
def test_the_interval_of_a_distance_holds_the_mean_over_repetitions(rng, kind):
    distance = kind(rng.normal(size=(300, 3)) + 0.5)
    repeated = [rng.normal(size=(60, 3)) for _ in range(60)]
    middle, held = np.mean([distance.value(x) for x in repeated]), 0
    for x in repeated:
        interval = Interval.around(distance.value(x), distance.resampled(x, Resampling(draws=40).rows(60)))
        held += interval.low <= middle <= interval.high
    assert held >= 48  # of 60


@BOTH
def test_images_drawn_once_each_have_the_distance_itself(rng, kind):
    x, distance = rng.normal(size=(30, 4)), kind(rng.normal(size=(20, 4)))
    orders = [np.arange(30), rng.permutation(30)]
    np.testing.assert_allclose(distance.resampled(x, orders), [distance.value(x)] * 2, rtol=1e-11)
    assert distance.value(x) == pytest.approx(distance(x).value, rel=1e-12)


def test_pairs_of_an_image_with_itself_do_not_count(rng):
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(6, 3))
    rows = np.array([0, 0, 2, 3])

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    pairs = [(i, j) for i in rows for j in rows if i != j]
    within_y = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    expected = (
        np.mean([k(x[i], x[j]) for i, j in pairs]) + within_y - 2 * np.mean([k(x[i], b) for i in rows for b in y])
    )
    assert KernelDistance(y).resampled(x, [rows]) == pytest.approx([expected], rel=1e-11)


class TestKernelSubsets:
    def test_one_subset_of_all_is_the_distance(self, rng):
        x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3)) + 1
        mean, deviation = KernelSubsets(count=3, size=1000)(x, y)
        assert KernelSubsets(size=1000).size_of(x, y[:15]) == 15
        assert mean == pytest.approx(KernelDistance(y)(x).value, rel=1e-12)
        assert deviation == pytest.approx(0, abs=1e-12)

    def test_they_are_those_of_torchmetrics(self, rng):
        x, y, choices = rng.normal(size=(40, 3)), rng.normal(size=(60, 3)) + 0.5, np.random.default_rng(7)
        expected = []
        for _ in range(5):
            parts = [z[choices.permutation(len(z))[:25]] for z in (y, x)]
            expected.append(float(poly_mmd(*map(torch.from_numpy, parts))))
        found = KernelSubsets(count=5, size=25, seed=7)(x, y)
        assert found == pytest.approx((np.mean(expected), np.std(expected)), rel=1e-10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Resampling(draws=1), "bootstrap: expected at least 2 draws, got 1"),
        (lambda: KernelSubsets(count=1), "subsets: expected at least 2, got 1"),
        (lambda: KernelSubsets(size=2), "subset_size: expected at least 3 images, got 2"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
