"""The factors of each skip and the share of them at each noise level."""

import math

import pytest
import torch

from unetdiff.config import LevelConfig, UNetConfig
from unetdiff.preconditioning import EDM, VE, X0, Consistency, EDMVelocity, Epsilon, RectifiedFlow, Score, V
from unetdiff.presets import adm_imagenet64
from unetdiff.skips import (
    Constant,
    Decreasing,
    EqualWidth,
    Increasing,
    Linear,
    Listed,
    Uniform,
    Window,
    suited_to,
)

SMALL = UNetConfig(levels=(LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1)))
RANGE = (0.01, 100.0)


def test_one_number_for_all():
    assert Uniform(rho=0.8).factors(SMALL) == (0.8,) * 4


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_linear_has_both_ends_and_equal_steps(depth):
    config = UNetConfig(levels=(LevelConfig(channels=8, depth=depth), LevelConfig(channels=16, depth=depth)))
    factors = Linear(rho_bottom=0.3, rho_top=0.9).factors(config)
    assert (factors[0], factors[-1], len(factors)) == (0.3, 0.9, len(config.skips()))
    steps = torch.tensor(factors, dtype=torch.float64).diff()
    torch.testing.assert_close(steps, torch.full_like(steps, 0.6 / (len(factors) - 1)))


def test_bottom_is_the_skip_next_to_the_middle_and_top_the_stem():
    by_name = dict(zip(SMALL.skips(), Linear(rho_bottom=0.5).factors(SMALL), strict=True))
    assert by_name["down_blocks.1.resnets.0"] == 0.5
    assert by_name["conv_in"] == 1.0


def test_the_papers_example_on_its_network():
    """rho_bottom = 0.5 rising to 1 over ADM's 16 skips, 10 of them as wide as the main path."""
    adm = adm_imagenet64()
    factors = Linear(rho_bottom=0.5).factors(adm)
    expected = [0.5, 0.533, 0.567, 0.6, 0.633, 0.667, 0.7, 0.733, 0.767, 0.8, 0.833, 0.867, 0.9, 0.933, 0.967, 1]
    assert factors == pytest.approx(expected, abs=5e-4)
    equal = EqualWidth(schedule=Uniform(rho=0.5)).factors(adm)
    assert [i for i, rho in enumerate(equal) if rho == 0.5] == [0, 1, 2, 5, 6, 9, 10, 13, 14, 15]


def test_equal_width_leaves_factors_in_their_places():
    """Skips 16, 8, 8, 8 join main paths of 16, 16, 16, 8."""
    listed = Listed(rhos=(0.1, 0.2, 0.3, 0.4))
    assert listed.factors(SMALL) == (0.1, 0.2, 0.3, 0.4)
    assert EqualWidth(schedule=listed).factors(SMALL) == (0.1, 1.0, 1.0, 0.4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(rho=-0.1), "rho: expected a finite number, 0 or more, got -0.1"),
        (lambda: Uniform(rho=math.nan), "rho: expected a finite number"),
        (lambda: Linear(rho_bottom=math.inf), "rho_bottom: expected a finite number"),
        (lambda: Linear(rho_bottom=0.5, rho_top=-1.0), "rho_top: expected a finite number"),
        (lambda: Listed(rhos=(0.5, -1.0)), "rhos: expected a finite number"),
        (lambda: Listed(rhos=(0.5,)).factors(SMALL), "rhos: expected one factor for each of 4 skips"),
        (lambda: Window(sigma_lo=2.0, sigma_hi=1.0), "sigma_lo, sigma_hi: expected 0 <= sigma_lo < sigma_hi"),
    ],
)
def test_bad_schedules_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(), [1, 1, 1, 1, 1, 1, 1]),
        (Window(sigma_lo=0.1, sigma_hi=10.0), [0, 0, 1, 1, 1, 0, 0]),
        (Decreasing(), [0, 0, 0.25, 0.5, 0.75, 1, 1]),
        (Increasing(), [1, 1, 0.75, 0.5, 0.25, 0, 0]),
    ],
    ids=repr,
)
def test_shares_at_the_powers_of_ten(schedule, expected):
    """Outside the range, where samplers may go too, the ends hold."""
    sigma = torch.tensor([0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0], dtype=torch.float64)
    share = schedule.share(sigma, RANGE)
    torch.testing.assert_close(share, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    for one, value in zip(sigma, share, strict=True):
        assert torch.equal(schedule.share(one, RANGE), value)
        assert schedule.share(float(one), RANGE) == pytest.approx(float(value), abs=1e-15)


@pytest.mark.parametrize(
    ("kind", "schedule"),
    [
        (EDM, Decreasing()),
        (EDMVelocity, Decreasing()),
        (Consistency, Decreasing()),
        (X0, Decreasing()),
        (V, Decreasing()),
        (RectifiedFlow, Decreasing()),
        (Epsilon, Increasing()),
        (VE, Increasing()),
        (Score, Increasing()),
    ],
)
def test_direction_by_what_the_network_predicts(kind, schedule):
    assert suited_to(kind()) == schedule
