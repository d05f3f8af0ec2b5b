"""Restarts: the grid they make, the noise that the driver adds, and what they do to the distribution."""

import math

import pytest
import torch

from samplers import (
    Churn,
    DPMSolverPP2M,
    Euler,
    EulerAncestral,
    Heun,
    PerImageNoise,
    Restart,
    UniPC,
    karras,
    sample,
    with_restarts,
)

GRID = karras(6)


def shrink(x, sigma):
    return x / (1 + sigma**2)


def variance_ratio(sampler, denoise, data_std, sigmas):
    """Variance at the end over the variance that is right there, exactly: the steps are affine."""
    impulses = torch.eye(2 * len(sigmas), dtype=torch.float64)
    response = sample(denoise, impulses[0], sigmas, sampler, noise=iter(impulses[1:]).__next__)
    start, end = data_std**2 + sigmas[0] ** 2, data_std**2 + sigmas[-1] ** 2
    return float((response[0] ** 2 * start + (response[1:] ** 2).sum()) / end)


def test_the_grid_rises_after_the_level_nearest_to_t_min():
    bottom = float(GRID[3])
    sigmas = with_restarts(GRID, [Restart(t_min=1.01 * bottom, t_max=20.0, K=2, steps=3)])
    down = karras(4, bottom, 20.0)[:-1]
    torch.testing.assert_close(sigmas, torch.cat([GRID[:4], down, down, GRID[4:]]), rtol=1e-14, atol=0)


def test_no_restarts_leave_the_grid_alone():
    assert torch.equal(with_restarts(GRID, []), GRID)


def test_several_restarts_share_one_grid():
    low, high = Restart(t_min=0.1, t_max=0.5, steps=2), Restart(t_min=3.0, t_max=20.0, steps=4)
    sigmas = with_restarts(karras(18), [low, high])
    assert len(sigmas) == 19 + 3 + 5
    assert int((sigmas.diff() > 0).sum()) == 2


@pytest.mark.parametrize(("sampler", "calls"), [(Euler(), 14), (Heun(), 27), (UniPC(), 14)], ids=str)
def test_a_rise_costs_no_network_call(sampler, calls):
    """6 steps on the grid and twice 4 of the restarts; Heun's second call is missing on the step to 0 alone."""
    seen, sigmas = [], with_restarts(GRID, [Restart(t_min=0.5, t_max=9.0, K=2, steps=4)])
    sample(
        lambda x, sigma: seen.append(sigma) or shrink(x, sigma),
        torch.ones(1, 1, 2, 2),
        sigmas,
        sampler,
        noise=PerImageNoise([0], (1, 2, 2)),
    )
    assert len(seen) == sampler.network_calls(sigmas) == calls


@pytest.mark.parametrize("sampler", [Heun(), DPMSolverPP2M(), UniPC(), EulerAncestral()], ids=repr)
@pytest.mark.parametrize("times", [1, 4])
def test_restarts_leave_the_marginal_distribution_right(gaussian, data_std, sampler, times):
    """Exact steps would leave it exactly; these converge to it at the order that they have without restarts."""
    errors = []
    for n in (64, 128):
        sigmas = with_restarts(karras(n + 1)[:-1], [Restart(t_min=0.06, t_max=1.0, K=times, steps=n // 4)])
        errors.append(abs(variance_ratio(sampler, gaussian, data_std, sigmas) - 1))
    order = sampler.order - isinstance(sampler, UniPC)  # each restart begins with lower orders
    assert errors[1] < 0.1
    assert math.log2(errors[0] / errors[1]) > order - 0.25


def test_restarts_contract_the_error_of_a_coarse_start(gaussian, data_std):
    """Euler's 8 steps are wrong by a third; fresh noise from above forgets that."""
    coarse = karras(9)[:-1]
    restarted = with_restarts(coarse, [Restart(t_min=float(coarse[-1]), t_max=3.0, K=3, steps=100)])
    before, after = (abs(variance_ratio(Euler(), gaussian, data_std, sigmas) - 1) for sigmas in (coarse, restarted))
    assert after < before / 5


def test_noise_is_what_separates_two_levels():
    """One step down to 1, up to 2 with one draw: variance 4 - 1 is added."""
    steps, z = [], torch.tensor([1.0, -2.0], dtype=torch.float64)
    sigmas = torch.tensor([3.0, 1.0, 2.0, 1.0], dtype=torch.float64)
    sample(shrink, torch.zeros_like(z), sigmas, Euler(), noise=lambda: z, callback=steps.append)
    torch.testing.assert_close(steps[1].x, math.sqrt(3) * z, rtol=1e-14, atol=0)


def test_memory_ends_at_a_restart():
    """What multistep methods do after the rise is what they do from there on their own."""
    sigmas = torch.tensor([9.0, 5.0, 2.0, 6.0, 3.0, 1.0, 0.0], dtype=torch.float64)
    for sampler in (DPMSolverPP2M(), UniPC()):
        steps = []
        noise = PerImageNoise([0], (1, 2, 2), dtype=torch.float64)
        out = sample(shrink, 9 * noise(), sigmas, sampler, noise=noise, callback=steps.append)
        assert torch.equal(out, sample(shrink, steps[2].x, sigmas[3:], sampler))


def test_memory_ends_where_churn_adds_noise():
    """Churned at every step, a multistep method is Euler's."""
    runs = []
    for sampler in (DPMSolverPP2M(), Euler()):
        noise = PerImageNoise([0], (1, 2, 2), dtype=torch.float64)
        runs.append(sample(shrink, 80 * noise(), GRID, sampler, noise=noise, churn=Churn(S_churn=2)))
    torch.testing.assert_close(*runs, rtol=1e-12, atol=0)


def test_a_grid_with_restarts_needs_noise():
    sigmas = with_restarts(GRID, [Restart(t_min=0.5, t_max=9.0)])
    with pytest.raises(ValueError, match="noise: expected a source of noise for a grid with restarts, got None"):
        sample(shrink, torch.ones(1, 1, 2, 2), sigmas, Euler())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"t_min": 0.0, "t_max": 1.0}, "t_min, t_max: expected 0 < t_min < t_max, got 0.0, 1.0"),
        ({"t_min": 2.0, "t_max": 1.0}, "t_min, t_max: expected 0 < t_min < t_max, got 2.0, 1.0"),
        ({"t_min": 1.0, "t_max": math.inf}, "t_min, t_max: expected 0 < t_min < t_max, got 1.0, inf"),
        ({"t_min": 1.0, "t_max": 2.0, "K": 0}, "K: expected at least 1 restart, got 0"),
        ({"t_min": 1.0, "t_max": 2.0, "steps": 0}, "steps: expected at least 1 step, got 0"),
    ],
)
def test_bad_restarts_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Restart(**fields)


def test_a_grid_too_coarse_for_the_interval_is_refused():
    with pytest.raises(ValueError, match="t_max: expected more than the grid's nearest level to t_min, 80.0, got 79.0"):
        with_restarts(karras(1), [Restart(t_min=78.0, t_max=79.0)])
