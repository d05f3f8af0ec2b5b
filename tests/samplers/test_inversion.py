"""DDIM inversion: against diffusers, against the closed form, and there and back."""

import math
from itertools import pairwise

import pytest
import torch
from diffusers import DDIMInverseScheduler

from samplers import DDIMInversion, Euler, Heun, PerImageNoise, karras, sample, uniform_timesteps


def up(n):
    return karras(n).flip(0)


@pytest.fixture
def images(golden):
    return golden["data"][:4]


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_ddim_inverse_of_diffusers(mixture, images, schedule):
    scheduler = DDIMInverseScheduler(beta_schedule=schedule, timestep_spacing="leading", clip_sample=False)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    scheduler.set_timesteps(50)
    table = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod).sqrt()
    sigmas = uniform_timesteps(table, 50).flip(0)

    x = images  # at unit variance, the scheduler's scale; its first alpha is 1
    for timestep, sigma in zip(scheduler.timesteps, sigmas[1:], strict=True):
        y = x * (1 + sigma**2) ** 0.5
        x = scheduler.step((y - mixture(y, sigma)) / sigma, int(timestep), x).prev_sample
    expected = x * (1 + sigmas[-1] ** 2).sqrt()
    torch.testing.assert_close(sample(mixture, images, sigmas, DDIMInversion()), expected, rtol=1e-11, atol=1e-11)


def test_reaches_first_order(gaussian, data_std):
    """The ODE takes x from N(0, c^2) to x sqrt(c^2 + sigma^2) / c."""
    sigma_max, x = 80.0, torch.ones(1, dtype=torch.float64)
    exact = math.sqrt(data_std**2 + sigma_max**2) / data_std
    errors = [abs(float(sample(gaussian, x, up(n), DDIMInversion())) / exact - 1) for n in (128, 256, 512)]
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([1, 1], abs=0.1)


@pytest.mark.parametrize("sampler", [Euler(), Heun()], ids=repr)
def test_there_and_back_is_the_image_up_to_an_error_of_first_order(mixture, images, sampler):
    """The inversion's own error: halved with the step, whatever samples it back."""
    errors = []
    for n in (200, 400, 800):
        latents = sample(mixture, images, karras(n, 0.02, 20.0).flip(0), DDIMInversion())
        back = sample(mixture, latents, karras(n, 0.02, 20.0), sampler)
        errors.append(float((back - images).square().mean().sqrt()))
    assert errors[-1] < 0.05
    assert [a / b for a, b in pairwise(errors)] == pytest.approx([2, 2], rel=0.15)


def test_calls_the_network_once_a_step(mixture, images):
    calls = []
    sample(lambda x, sigma: calls.append(float(sigma)) or mixture(x, sigma), images, up(7), DDIMInversion())
    assert len(calls) == DDIMInversion().network_calls(up(7)) == 7
    assert calls == up(7)[1:].tolist()


def test_an_image_is_inverted_apart_from_its_batch():
    images = PerImageNoise([1, 2, 3], (1, 4, 4))()

    def denoise(x, sigma):
        return torch.tanh(x / (1 + sigma**2) ** 0.5)

    batch = sample(denoise, images, up(6), DDIMInversion())
    alone = torch.cat([sample(denoise, images[i : i + 1], up(6), DDIMInversion()) for i in range(3)])
    assert torch.equal(batch, alone)


@pytest.mark.parametrize(
    ("sampler", "sigmas"), [(DDIMInversion(), karras(4)), (DDIMInversion(), up(4)[[0, 2, 1]]), (Euler(), up(4))]
)
def test_a_grid_in_the_wrong_direction_is_refused(mixture, images, sampler, sigmas):
    with pytest.raises(ValueError, match="sigmas: expected finite, (rising noise levels >= 0|noise levels >= 0 that)"):
        sample(mixture, images, sigmas, sampler)
