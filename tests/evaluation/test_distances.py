"""Distances against closed forms, plain sums and torchmetrics; their errors against repetition."""

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from unetdiff.evaluation.distances import Estimate, FrechetDistance, KernelDistance

BOTH = pytest.mark.parametrize("kind", [FrechetDistance, KernelDistance])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def gaussian(rng, mean, covariance, count=40):
    """Draws whose own mean and covariance are exactly these."""
    x = rng.normal(size=(count, len(mean)))
    x -= x.mean(axis=0)
    x = np.linalg.solve(np.linalg.cholesky(np.cov(x.T)), x.T).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_gaussians_with_a_common_basis(rng):
    basis = np.linalg.qr(rng.normal(size=(3, 3))).Q
    means, spreads = rng.normal(size=(2, 3)), rng.uniform(0.5, 2, size=(2, 3))
    x, y = (
        gaussian(rng, mean, basis * s**2 @ basis.T, count)
        for mean, s, count in zip(means, spreads, (30, 50), strict=True)
    )
    expected = np.square(means[0] - means[1]).sum() + np.square(spreads[0] - spreads[1]).sum()
    assert FrechetDistance(y)(x).value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("count", [50, 5], ids=["full rank", "fewer images than features"])
def test_frechet_distance_is_that_of_torchmetrics(rng, count):
    x, y = rng.normal(size=(count, 8)) * 2, rng.normal(size=(60, 8)) @ rng.normal(size=(8, 8)) + 1
    theirs = FrechetInceptionDistance(feature=nn.Identity(), input_img_size=(8,)).set_dtype(torch.float64)
    theirs.update(torch.from_numpy(y), real=True)
    theirs.update(torch.from_numpy(x), real=False)
    assert FrechetDistance(y)(x).value == pytest.approx(float(theirs.compute()), rel=1e-6)


def test_kernel_distance_is_the_sum_over_pairs(rng):
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)) + 1

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    def within(z):
        return np.mean([k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j])

    expected = within(x) + within(y) - 2 * np.mean([k(a, b) for a in x for b in y])
    assert KernelDistance(y)(x).value == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_is_that_of_torchmetrics(rng):
    x, y = rng.normal(size=(600, 8)), rng.normal(size=(600, 8)) * 1.5
    expected = float(poly_mmd(torch.from_numpy(y), torch.from_numpy(x)))
    assert KernelDistance(y)(x).value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("kind", "replicates"), [(FrechetDistance, 20), (KernelDistance, 60)])
def test_replicates_leave_images_out(rng, kind, replicates):
    x, distance = rng.normal(size=(60, 4)), kind(rng.normal(size=(30, 4)) + 0.5)
    parts = np.array_split(np.arange(60), replicates)
    expected = [distance(np.delete(x, part, axis=0)).value for part in parts]
    np.testing.assert_allclose(distance(x).replicates, expected, rtol=1e-11)


@BOTH
def test_a_set_is_at_distance_zero_from_its_distribution(rng, kind):
    """The Frechet distance only for the reference itself, the unbiased one on the average over draws."""
    reference = rng.normal(size=(300, 4))
    if kind is FrechetDistance:
        assert kind(reference)(reference).value == pytest.approx(0, abs=1e-12)
        return
    values = np.array([kind(rng.normal(size=(20, 4)))(rng.normal(size=(20, 4))).value for _ in range(300)])
    assert abs(values.mean()) < 3 * values.std() / 300**0.5


@BOTH
def test_the_standard_error_is_the_spread_over_repetitions(rng, kind):
    distance = kind(rng.normal(size=(400, 4)) + 1)
    estimates = [distance(rng.normal(size=(80, 4))) for _ in range(200)]
    spread = np.std([estimate.value for estimate in estimates])
    assert np.mean([estimate.standard_error for estimate in estimates]) == pytest.approx(spread, rel=0.15)


@BOTH
def test_the_error_of_a_difference_is_small_for_paired_sets(rng, kind):
    distance, x = kind(rng.normal(size=(100, 4)) + 1), rng.normal(size=(100, 4))
    apart = distance(x) - distance(x + 0.01)
    assert 0 < apart.standard_error < 0.1 * distance(x).standard_error
    assert apart.resolved
    assert (distance(x) - distance(x)).standard_error == 0


def test_resolved_is_more_than_two_standard_errors():
    replicates = np.array([-1.0, 1.0])  # a standard error of 1
    assert Estimate(value=1, replicates=replicates).standard_error == 1
    assert not Estimate(value=2.0, replicates=replicates).resolved
    assert Estimate(value=-2.01, replicates=replicates).resolved


@BOTH
def test_features_in_single_precision_are_summed_in_double(rng, kind):
    x, y = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(50, 4)).astype(np.float32)
    assert kind(y)(x).value == kind(y.astype(np.float64))(x.astype(np.float64)).value


@BOTH
@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((2, 4)), r"features: expected \(N, F\) with N >= 3, got \(2, 4\)"),
        (np.zeros(4), r"features: expected \(N, F\)"),
        (np.zeros((5, 3)), "features: expected 4 numbers for each image, as the reference, got 3"),
        (np.full((5, 4), np.nan), "features: expected finite numbers, got"),
    ],
)
def test_features_that_are_refused(kind, features, message):
    with pytest.raises(ValueError, match=message):
        kind(np.eye(4))(features)


@BOTH
def test_a_reference_of_one_image_is_refused(kind):
    with pytest.raises(ValueError, match="reference: expected"):
        kind(np.zeros((1, 4)))
