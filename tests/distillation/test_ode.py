"""Noise levels that stay when the steps are halved, and DDIM's step."""

from functools import partial

import pytest
import torch

import samplers
from unetdiff.distillation.ode import Levels, ddim

RANGE = (0.002, 80.0)


@pytest.mark.parametrize("steps", [1, 2, 4, 9, 18, 256])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_level_knows_its_index(steps, dtype):
    levels, i = Levels(steps=steps, rho=7.0, sigma_range=RANGE), torch.arange(1, steps + 1)
    assert torch.equal(levels.index(levels(i).to(dtype)), i.double())
    assert levels(torch.tensor([0, steps])).tolist() == pytest.approx(RANGE, rel=1e-12)


def test_halving_the_steps_keeps_the_levels():
    few, many = (Levels(steps=n, rho=7.0, sigma_range=RANGE)(torch.arange(n + 1)) for n in (8, 16))
    torch.testing.assert_close(many[::2], few, rtol=1e-12, atol=0)


def test_every_level_is_drawn_as_often():
    levels = Levels(steps=5, rho=7.0, sigma_range=RANGE)
    drawn = levels.index(levels.draw((torch.arange(1000) + 0.5) / 1000))
    assert drawn.unique(return_counts=True)[1].tolist() == [200] * 5
    assert levels.index(levels.draw(torch.tensor([1 - 2.0**-24, 2.0**-24]))).tolist() == [5, 1]


def test_they_are_the_grid_that_the_sampler_has_from_the_first_of_them():
    levels = Levels(steps=6, rho=7.0, sigma_range=RANGE)
    sigmas = levels(torch.arange(6, 0, -1))
    torch.testing.assert_close(samplers.karras(6, sigmas[-1].item(), RANGE[1])[:-1], sigmas, rtol=1e-12, atol=0)


def test_a_step_is_the_samplers_own():
    x, denoised = torch.randn(2, 3, 1, 2, 2, dtype=torch.float64)
    sigma, sigma_next = torch.tensor([3.0, 2.0, 1.0]).double(), torch.tensor([2.0, 0.5, 0.0]).double()
    found = ddim(x, denoised, sigma, sigma_next)
    for row, levels in enumerate(zip(sigma.tolist(), sigma_next.tolist(), strict=True)):
        one, _ = samplers.DDIM().step(partial(lambda given, *_: given, denoised[row]), x[row], *levels, None, None)
        torch.testing.assert_close(found[row], one)
