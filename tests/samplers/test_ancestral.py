"""DDPM and DDIM: their one step against probability theory and against diffusers."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from samplers import DDIM, DDPM, Euler, sample, uniform_timesteps

LEVELS = [(80.0, 70.0), (80.0, 0.1), (1.0, 0.5), (0.01, 0.002), (4096.0, 4000.0), (4096.0, 1e-5)]


def coefficients(sampler, sigma, sigma_next, x0=0.0):
    """Mean factor and standard deviation of one step from x, when the clean image is known to be x0."""
    sigmas = torch.tensor([sigma, sigma_next], dtype=torch.float64)
    x = torch.tensor([1.0, 0.0], dtype=torch.float64) + x0
    draw = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return (sample(lambda x, sigma: torch.full_like(x, x0), x, sigmas, sampler, noise=lambda: draw) - x0).tolist()


@pytest.mark.parametrize(("sigma", "sigma_next"), LEVELS)
@pytest.mark.parametrize("sampler", [DDPM(), DDIM(eta=1.0)], ids=repr)
def test_posterior_is_a_product_of_two_gaussians(sampler, sigma, sigma_next):
    """q(x' | x, x0) ~ N(x'; x0, sigma'^2) N(x; x', sigma^2 - sigma'^2): precisions add."""
    prior, likelihood = 1 / sigma_next**2, 1 / (sigma**2 - sigma_next**2)
    factor, std = coefficients(sampler, sigma, sigma_next)
    assert factor == pytest.approx(likelihood / (prior + likelihood), rel=1e-12)
    assert std == pytest.approx((prior + likelihood) ** -0.5, rel=1e-12)


@pytest.mark.parametrize(("sigma", "sigma_next"), LEVELS)
def test_beta_is_the_variance_of_a_forward_step(sigma, sigma_next):
    """With abar = 1 / (1 + sigma^2): beta = 1 - abar / abar', a variance at the scale sqrt(abar')."""
    abar, abar_next = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
    _, std = coefficients(DDPM(variance="beta"), sigma, sigma_next)
    assert std**2 == pytest.approx((1 - abar / abar_next) / abar_next, rel=1e-8)


@pytest.mark.parametrize(("sigma", "sigma_next"), LEVELS)
@pytest.mark.parametrize("sampler", [Euler(), DDPM(), DDIM(), DDIM(eta=0.5), DDIM(eta=1.0)], ids=repr)
def test_a_known_image_keeps_its_noise_level(sampler, sigma, sigma_next):
    """x ~ N(x0, sigma^2) becomes x' ~ N(x0, sigma'^2)."""
    factor, std = coefficients(sampler, sigma, sigma_next, x0=0.25)
    assert factor**2 * sigma**2 + std**2 == pytest.approx(sigma_next**2, rel=1e-9)


def test_ddim_without_noise_is_euler(golden, mixture):
    sigmas = golden["sigmas_karras_12_0.02_20"]
    torch.testing.assert_close(
        sample(mixture, golden["x_init"], sigmas, DDIM()), golden["out.euler"], rtol=0, atol=1e-10
    )


def scheduled(scheduler, n):
    """The scheduler set to n steps in float64, and its noise levels."""
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    scheduler.set_timesteps(n)
    table = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod).sqrt()
    return scheduler, uniform_timesteps(table, n, scheduler.config.timestep_spacing)


def theirs(denoise, scheduler, x, sigmas, draws, step):
    """Every state of diffusers' scheduler, carried to x0 + sigma * eps."""
    states = []
    for timestep, sigma, sigma_next, z in zip(scheduler.timesteps, sigmas, sigmas[1:], draws, strict=False):
        epsilon = (x - denoise(x, sigma)) / sigma
        x = step(epsilon, timestep, x / (1 + sigma**2).sqrt(), z).prev_sample * (1 + sigma_next**2).sqrt()
        states.append(x)
    return torch.stack(states)


def ours(denoise, sampler, x, sigmas, draws):
    states = []
    sample(denoise, x, sigmas, sampler, noise=iter(draws).__next__, callback=lambda step: states.append(step.x))
    return torch.stack(states)


@pytest.fixture
def draws():
    return torch.randn(50, 3, 1, 2, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize(("variance", "name"), [("posterior", "fixed_small"), ("beta", "fixed_large")])
def test_ddpm_of_diffusers(monkeypatch, mixture, draws, schedule, variance, name):
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, generator, **__: generator)
    scheduler, sigmas = scheduled(
        DDPMScheduler(beta_schedule=schedule, variance_type=name, timestep_spacing="leading", clip_sample=False),
        50,
    )
    x = sigmas[0] * draws[0]
    expected = theirs(mixture, scheduler, x, sigmas, draws, lambda e, t, x, z: scheduler.step(e, t, x, generator=z))
    torch.testing.assert_close(
        ours(mixture, DDPM(variance=variance), x, sigmas, draws), expected, rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_of_diffusers(mixture, draws, schedule, spacing, eta):
    scheduler, sigmas = scheduled(
        DDIMScheduler(beta_schedule=schedule, timestep_spacing=spacing, clip_sample=False), 50
    )
    x = sigmas[0] * draws[0]
    expected = theirs(
        mixture, scheduler, x, sigmas, draws, lambda e, t, x, z: scheduler.step(e, t, x, eta=eta, variance_noise=z)
    )
    torch.testing.assert_close(ours(mixture, DDIM(eta=eta), x, sigmas, draws), expected, rtol=1e-11, atol=1e-11)


def test_bad_hyper_parameters_are_named():
    with pytest.raises(ValueError, match=r"variance: expected one of \('posterior', 'beta'\), got 'learned'"):
        DDPM(variance="learned")
    for eta in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=rf"eta: expected a number in \[0, 1\], got {eta}"):
            DDIM(eta=eta)
