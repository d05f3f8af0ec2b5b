"""Order of convergence where the answer is known: data from N(0, c^2), denoised exactly.

Every step is affine then, x_end = a x_start + sum_k b_k z_k, so that one run over a batch of unit impulses reads all
coefficients and the variance of the result is exact: no sampling error, no seeds.
"""

import math
from itertools import pairwise

import pytest
import torch

from samplers import DDPM, karras, sample

ERROR_SLOPES = {1: (0.9, 1.1), 2: (1.9, 2.2)}


def variance_ratio(sampler, denoise, data_std, n):
    """Variance of what n steps give at sigma_min, over the variance that is right there."""
    sigmas = karras(n + 1)[:-1]
    impulses = torch.eye(1 + 2 * n, dtype=torch.float64)  # row 0 for x, one for each draw; two draws a step at most
    draws = iter(impulses[1:])
    response = sample(denoise, impulses[0], sigmas, sampler, noise=draws.__next__)
    start, end = data_std**2 + sigmas[0] ** 2, data_std**2 + sigmas[-1] ** 2
    return float((response[0] ** 2 * start + (response[1:] ** 2).sum()) / end)


def test_reaches_its_order(sampler, gaussian, data_std):
    steps = [128, 256, 512, 1024] if sampler.stochastic else [32, 64, 128, 256]
    errors = [abs(variance_ratio(sampler, gaussian, data_std, n) - 1) for n in steps]
    lowest, highest = ERROR_SLOPES[sampler.order]
    for coarse, fine in pairwise(errors):
        assert lowest <= math.log2(coarse / fine) <= highest


@pytest.mark.parametrize(
    ("n", "ratio"), [(8, 0.323), (16, 0.524), (32, 0.705), (64, 0.833), (128, 0.911), (256, 0.954)]
)
def test_ddpm_variance_is_that_of_the_moment_recursion(gaussian, data_std, n, ratio):
    """v' = a^2 v + b^2, computed apart from this code and rounded to three digits."""
    assert variance_ratio(DDPM(), gaussian, data_std, n) == pytest.approx(ratio, abs=5e-4)
