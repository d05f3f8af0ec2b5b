import math

import pytest

from unetdiff.errors import InputError
from unetdiff.features.noise_level import noise_level, noise_levels
from unetdiff.noise import DiscreteSchedule, IDDPMSchedule, VPSchedule
from unetdiff.preconditioning import EDM, VE, X0, Epsilon, RectifiedFlow, V

STABLE_DIFFUSION = Epsilon(schedule=DiscreteSchedule(kind="scaled_linear", beta_start=0.00085, beta_end=0.012))

# The timesteps of published features: diffssl, DDAE and DIFT's settings, as noise levels.
DDPM = {11: 0.050, 21: 0.083, 30: 0.11, 50: 0.18, 90: 0.31, 101: 0.35, 150: 0.52, 250: 0.96, 300: 1.24}
SD = {51: 0.23, 100: 0.34, 261: 0.72, 299: 0.83}


@pytest.mark.parametrize(
    ("preconditioning", "timestep", "sigma"),
    [(Epsilon(), *row) for row in DDPM.items()] + [(STABLE_DIFFUSION, *row) for row in SD.items()],
)
def test_published_timesteps_are_these_noise_levels(preconditioning, timestep, sigma):
    digits = 3 if sigma < 0.1 else 2
    assert round(noise_level(f"t:{timestep}", preconditioning), digits) == sigma


@pytest.mark.parametrize("kind", [Epsilon, V, X0])
@pytest.mark.parametrize("schedule", [DiscreteSchedule(), VPSchedule(), IDDPMSchedule()])
@pytest.mark.parametrize("timestep", [1, 150, 998])
def test_the_network_is_told_the_timestep(kind, schedule, timestep):
    preconditioning = kind(schedule=schedule, time_scale=0.5)
    sigma = noise_level(f"t:{timestep}", preconditioning)
    assert preconditioning.c_noise(sigma) == pytest.approx(0.5 * timestep, rel=1e-9)


def test_the_time_of_a_flow():
    flow = RectifiedFlow(time_scale=1000.0)
    assert noise_level("t:200", flow) == pytest.approx(0.25)
    assert flow.c_noise(noise_level("t:700", flow)) == pytest.approx(700)


@pytest.mark.parametrize("preconditioning", [EDM(), Epsilon(), VE()])
def test_sigma_and_log_snr(preconditioning):
    assert noise_level("0.2", preconditioning) == 0.2
    assert noise_level("logsnr:0", preconditioning) == 1
    assert noise_level("logsnr:-2", preconditioning) == pytest.approx(math.e)
    assert noise_levels("0.02, logsnr:0,1.2", preconditioning) == (0.02, 1.0, 1.2)


@pytest.mark.parametrize(
    "text", ["", "abc", "0", "-1", "nan", "inf", "snr:1", ":1", "logsnr:", "logsnr:-9999", "logsnr:9999", "t:x"]
)
def test_what_is_no_noise_level_is_refused(text):
    with pytest.raises(InputError, match="sigma: expected a positive number, logsnr:NUMBER or t:TIMESTEP, got"):
        noise_level(text, Epsilon())


@pytest.mark.parametrize(
    ("preconditioning", "text", "message"),
    [
        (EDM(), "t:10", "a network of kind EDM has no timesteps"),
        (Epsilon(), "t:1000", "a timestep from 0 to 999 expected, got 1000"),
        (Epsilon(), "t:-1", "a timestep from 0 to 999 expected, got -1"),
        (RectifiedFlow(), "t:1000", "a timestep between 0 and 1000 expected, got 1000"),
    ],
)
def test_timesteps_that_a_network_has_not_are_refused(preconditioning, text, message):
    with pytest.raises(InputError, match=message):
        noise_level(text, preconditioning)
