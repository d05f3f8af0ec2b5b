import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.schedulers import AysSchedules

from samplers import (
    AYS_SD,
    AYS_SDXL,
    AYS_SVD,
    exponential,
    given,
    karras,
    logsnr,
    polyexponential,
    uniform_timesteps,
    vp,
)

TABLE = torch.linspace(0.01, 157.0, 1000, dtype=torch.float64)
GRIDS = {
    "karras": karras,
    "exponential": lambda n: exponential(n, 0.002, 80.0),
    "polyexponential": lambda n: polyexponential(n, 0.002, 80.0, rho=2.0),
    "logsnr": lambda n: logsnr(n, 0.002, 80.0),
    "vp": vp,
    "given": lambda n: given(n, AYS_SDXL),
    "leading": lambda n: uniform_timesteps(TABLE, n, "leading"),
    "linspace": lambda n: uniform_timesteps(TABLE, n, "linspace"),
    "trailing": lambda n: uniform_timesteps(TABLE, n, "trailing"),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize("n", [1, 2, 18, 1000])
def test_n_decreasing_float64_levels_end_in_zero(grid, n):
    sigmas = grid(n)
    assert sigmas.shape == (n + 1,)
    assert sigmas.dtype == torch.float64
    assert sigmas.isfinite().all()
    assert (sigmas.diff() < 0).all()
    assert sigmas[-1] == 0


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize("n", [0, -3])
def test_less_than_one_step_is_refused(grid, n):
    with pytest.raises(ValueError, match=rf"n: expected at least 1 step, got {n}"):
        grid(n)


@pytest.mark.parametrize(
    ("name", "sigmas"),
    [
        ("karras_12_0.02_20", karras(12, 0.02, 20.0)),
        ("exponential", exponential(12, 0.02, 20.0)),
        ("polyexponential_rho2", polyexponential(12, 0.02, 20.0, rho=2.0)),
    ],
)
def test_k_diffusion(golden, name, sigmas):
    """The golden grids were made in float32."""
    torch.testing.assert_close(sigmas, golden[f"sigmas_{name}"], rtol=1e-6, atol=0)


def test_k_diffusion_vp(golden):
    """The golden grid subtracts 1 in float32, so that 1 + sigma^2 is what it holds to float32's precision."""
    torch.testing.assert_close(1 + vp(12) ** 2, 1 + golden["sigmas_vp"] ** 2, rtol=1e-6, atol=0)


@pytest.mark.parametrize("grid", [karras, exponential, polyexponential, logsnr])
def test_ends_are_sigma_max_and_sigma_min(grid):
    sigmas = grid(7, 0.03, 4096.0)
    assert float(sigmas[0]) == pytest.approx(4096.0, rel=1e-14)
    assert float(sigmas[-2]) == pytest.approx(0.03, rel=1e-14)


def test_logsnr_is_uniform_in_log_snr():
    snr = 1 / logsnr(9, 0.03, 4096.0)[:-1] ** 2
    steps = snr.log().diff()
    torch.testing.assert_close(steps, steps[:1].expand(8), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("levels", "name"),
    [(AYS_SD, "StableDiffusion"), (AYS_SDXL, "StableDiffusionXL"), (AYS_SVD, "StableDiffusionVideo")],
)
def test_align_your_steps_of_diffusers(levels, name):
    """Ten steps are the list itself, with its 0."""
    published = torch.tensor(AysSchedules[f"{name}Sigmas"], dtype=torch.float64)
    torch.testing.assert_close(given(10, levels), published, rtol=1e-14, atol=0)


def test_given_levels_are_interpolated_in_log_sigma():
    """Twice as many intervals put a geometric mean between any two entries; ends stay."""
    sigmas, levels = given(19, AYS_SD)[:-1], torch.tensor(AYS_SD, dtype=torch.float64)
    torch.testing.assert_close(sigmas[::2], levels, rtol=1e-14, atol=0)
    torch.testing.assert_close(sigmas[1::2], (levels[1:] * levels[:-1]).sqrt(), rtol=1e-14, atol=0)


def test_given_levels_of_an_exponential_grid_are_that_grid_at_any_n():
    levels = exponential(5, 0.01, 10.0)[:-1].tolist()
    for n in (2, 5, 8, 33):
        torch.testing.assert_close(given(n, levels), exponential(n, 0.01, 10.0), rtol=1e-13, atol=0)


@pytest.mark.parametrize("scheduler_class", [DDPMScheduler, DDIMScheduler])
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
def test_every_number_of_steps_picks_the_timesteps_of_diffusers(scheduler_class, spacing):
    """Where diffusers' "trailing" runs over and appends timestep -1 (n = 61, for one), we stop at n."""
    timesteps = torch.arange(1, 1001)  # a table that tells which rows were taken: row t holds t + 1
    scheduler = scheduler_class(timestep_spacing=spacing)
    for n in range(1, 1001):
        scheduler.set_timesteps(n)
        assert uniform_timesteps(timesteps, n, spacing)[:-1].tolist() == (scheduler.timesteps[:n] + 1).tolist()


def test_offset_is_the_steps_offset_of_diffusers():
    timesteps = torch.arange(1, 1001)
    scheduler = DDIMScheduler(timestep_spacing="leading", steps_offset=1)
    scheduler.set_timesteps(50)
    assert uniform_timesteps(timesteps, 50, offset=1)[:-1].tolist() == (scheduler.timesteps + 1).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: karras(5, sigma_min=0.0), "sigma_min, sigma_max: expected 0 < sigma_min < sigma_max, got 0.0, 80.0"),
        (lambda: karras(5, sigma_min=1.0, sigma_max=1.0), "sigma_min, sigma_max"),
        (lambda: karras(5, sigma_max=math.inf), "sigma_min, sigma_max"),
        (lambda: exponential(5, math.nan, 1.0), "sigma_min, sigma_max"),
        (lambda: karras(5, rho=0.0), "rho: expected a positive number, got 0.0"),
        (lambda: vp(5, eps_s=0.0), "eps_s: expected a number between 0 and 1, got 0.0"),
        (lambda: given(5, [1.0]), r"levels: expected at least 2 falling noise levels > 0, got \[1.0\]"),
        (lambda: given(5, [1.0, 2.0]), "levels: expected at least 2 falling noise levels > 0"),
        (lambda: given(5, [1.0, 0.0]), "levels: expected at least 2 falling noise levels > 0"),
        (lambda: given(5, [math.inf, 1.0]), "levels: expected at least 2 falling noise levels > 0"),
        (lambda: uniform_timesteps(TABLE, 1001), "n: expected at most the 1000 timesteps of the table, got 1001"),
        (lambda: uniform_timesteps(TABLE, 5, "even"), "spacing: expected .* got 'even'"),
        (lambda: uniform_timesteps(TABLE, 1000, offset=1), "offset: expected timesteps from 0 to 999, got 1 to 1000"),
        (lambda: uniform_timesteps(TABLE, 10, offset=-1), "offset: expected timesteps from 0 to 999, got -1 to 899"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
