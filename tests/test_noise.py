import pytest
import torch
from diffusers import DDPMScheduler

from unetdiff.noise import DiscreteSchedule, IDDPMSchedule, VPSchedule, log_normal

KINDS = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "sigmoid": "sigmoid",
    "cosine": "squaredcos_cap_v2",
    "laplace": "laplace",
}


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_signal_levels_are_those_of_diffusers(kind, zero_terminal_snr):
    theirs = DDPMScheduler(beta_schedule=KINDS[kind], rescale_betas_zero_snr=zero_terminal_snr).alphas_cumprod
    ours = DiscreteSchedule(kind=kind, zero_terminal_snr=zero_terminal_snr).alphas_cumprod
    # theirs is a product of 1,000 float32 factors
    torch.testing.assert_close(ours[:-1], theirs[:-1].double(), rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("kind", [*KINDS, "exponential"])
def test_timestep_and_sigma_are_inverse(kind, zero_terminal_snr):
    schedule = DiscreteSchedule(kind=kind, steps=200, zero_terminal_snr=zero_terminal_snr)
    assert (schedule.sigmas.diff() > 0).all()
    assert torch.isfinite(schedule.sigmas).all()
    whole = torch.arange(200, dtype=torch.float64)
    assert torch.equal(schedule.timestep(schedule.sigmas), whole)
    torch.testing.assert_close(schedule.sigma(whole), schedule.sigmas, rtol=1e-14, atol=0)
    between = torch.tensor([0.25, 17.5, 198.75], dtype=torch.float64)
    torch.testing.assert_close(schedule.timestep(schedule.sigma(between)), between, rtol=1e-12, atol=0)


def test_between_timesteps_log_sigma_is_linear():
    schedule = DiscreteSchedule()
    middle = schedule.sigma(torch.tensor(10.5))
    torch.testing.assert_close(middle, (schedule.sigmas[10] * schedule.sigmas[11]).sqrt(), rtol=1e-14, atol=0)


def test_beyond_the_table_timesteps_stop_at_its_ends():
    schedule = DiscreteSchedule(steps=10)
    assert schedule.timestep(torch.tensor([1e-9, 1e9])).tolist() == [0, 9]


def test_zero_terminal_snr_is_noise_in_float32():
    assert DiscreteSchedule(zero_terminal_snr=True).sigmas[-1] >= 4095.9


def test_vp_timesteps_and_sigmas_are_inverse():
    schedule = VPSchedule()
    sigma = torch.tensor([1e-3, 0.3, 5.0, 150.0], dtype=torch.float64)
    torch.testing.assert_close(schedule.sigma(schedule.timestep(sigma)), sigma, rtol=1e-10, atol=0)


def test_iddpm_table():
    schedule = IDDPMSchedule()
    assert (schedule.sigmas.diff() > 0).all()
    assert schedule.timestep(schedule.sigmas).tolist() == list(range(1000))
    # the range that the wrapper of the pretrained networks states; it computed its table in float32
    torch.testing.assert_close(
        schedule.sigmas[[0, -1]], torch.tensor([6.4223e-3, 2.0291e4], dtype=torch.float64), rtol=1e-3, atol=0
    )


def test_log_normal_quantiles():
    u = torch.tensor([0.5, 0.841344746], dtype=torch.float64)
    torch.testing.assert_close(
        log_normal(u, -1.2, 1.2).log(), torch.tensor([-1.2, 0.0], dtype=torch.float64), rtol=0, atol=1e-8
    )


def test_the_exponential_schedule_is_a_power_of_e():
    t = torch.arange(1, 501, dtype=torch.float64) / 500
    alpha_bar = DiscreteSchedule(kind="exponential", steps=500).alphas_cumprod
    torch.testing.assert_close(alpha_bar, torch.exp(-12 * t), rtol=1e-11, atol=0)


def test_a_table_is_the_betas():
    schedule = DiscreteSchedule(kind="table", steps=3, table=(0.1, 0.5, 0.2))
    torch.testing.assert_close(
        schedule.alphas_cumprod, torch.tensor([0.9, 0.45, 0.36], dtype=torch.float64), rtol=1e-15, atol=0
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 1},
        {"beta_start": 0.0},
        {"beta_start": 0.1, "beta_end": 0.01},
        {"kind": "table"},
        {"kind": "table", "steps": 3, "table": (0.1, 0.2)},
        {"kind": "table", "steps": 2, "table": (0.1, 1.0)},
        {"kind": "linear", "steps": 2, "table": (0.1, 0.2)},
    ],
)
def test_bad_schedules_are_refused(fields):
    with pytest.raises(ValueError, match="schedule"):
        DiscreteSchedule(**fields)
