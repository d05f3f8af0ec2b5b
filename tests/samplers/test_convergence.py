"""Order of convergence where the answer is known: data from N(0, c^2), denoised exactly.

Every step is affine then, x_end = a x_start + sum_k b_k z_k, so that one run over a batch of unit impulses reads all
coefficients and the variance of the result is exact: no sampling error, no seeds.

Multistep methods begin with a step of first order, which in theory bounds them to second. Here they begin where the
denoiser is flat (sigma = 80 against data of 0.5), so that it costs nothing and the order of the other steps shows.
"""

import math

import pytest
import torch

from samplers import DDPM, IPNDM, DPMSolverPP2MSDE, DPMSolverPP3MSDE, DPMSolverPPSDE, UniPC, karras, sample


def to_sigma_min(n):
    return karras(n + 1)[:-1]


def equal_steps(n):
    return torch.linspace(10.0, 0.5, n + 1, dtype=torch.float64)


def variance_ratio(sampler, denoise, data_std, sigmas):
    """Variance of what the steps give at the last level, over the variance that is right there."""
    n = len(sigmas) - 1
    impulses = torch.eye(1 + 2 * n, dtype=torch.float64)  # row 0 for x, one for each draw; two draws a step at most
    draws = iter(impulses[1:])
    response = sample(denoise, impulses[0], sigmas, sampler, noise=draws.__next__)
    start, end = data_std**2 + sigmas[0] ** 2, data_std**2 + sigmas[-1] ** 2
    return float((response[0] ** 2 * start + (response[1:] ** 2).sum()) / end)


def slope(sampler, denoise, data_std, grid, n=256):
    """By which power of the step size the error falls from n / 2 to n steps."""
    coarse, fine = (abs(variance_ratio(sampler, denoise, data_std, grid(steps)) - 1) for steps in (n // 2, n))
    return math.log2(coarse / fine)


def test_reaches_its_order(sampler, gaussian, data_std):
    grid, n = (equal_steps, 512) if isinstance(sampler, IPNDM) else (to_sigma_min, 256)
    order = sampler.order + isinstance(sampler, UniPC)  # the corrector's
    assert order - 0.15 <= slope(sampler, gaussian, data_std, grid, n) <= order + 0.1


@pytest.mark.parametrize("order", [3, 4])
def test_ipndm_is_of_second_order_at_most_where_steps_are_not_equal(gaussian, data_std, order):
    assert slope(IPNDM(order=order), gaussian, data_std, to_sigma_min) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("eta", [0.25, 0.5])
@pytest.mark.parametrize("make", [DPMSolverPPSDE, DPMSolverPP2MSDE, DPMSolverPP3MSDE])
def test_less_noise_has_the_same_order(gaussian, data_std, make, eta):
    sampler = make(eta=eta)
    assert slope(sampler, gaussian, data_std, to_sigma_min) == pytest.approx(sampler.order, abs=0.2)


@pytest.mark.parametrize(
    ("n", "ratio"), [(8, 0.323), (16, 0.524), (32, 0.705), (64, 0.833), (128, 0.911), (256, 0.954)]
)
def test_ddpm_variance_is_that_of_the_moment_recursion(gaussian, data_std, n, ratio):
    """v' = a^2 v + b^2, computed apart from this code and rounded to three digits."""
    assert variance_ratio(DDPM(), gaussian, data_std, to_sigma_min(n)) == pytest.approx(ratio, abs=5e-4)
