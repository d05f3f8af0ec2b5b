"""Averages made after the training, against profiles in closed form and against averages that were tracked."""

import pytest
import torch
from torch import nn

from unetdiff.ema_reconstruction import Profile, combine, reconstruct
from unetdiff.errors import InputError
from unetdiff.training.averages import AveragedWeights, PowerEMA
from unetdiff.training.averages.power import exponent
from unetdiff.training.averages.snapshots import add_snapshots, find_snapshots

STEPS, EVERY = 400, 20
WIDTHS = (0.05, 0.1)


def profiles(steps=STEPS, every=EVERY):
    return [Profile(width=width, step=step) for step in range(every, steps + 1, every) for width in WIDTHS]


def density(profile, tau):
    gamma = exponent(profile.width)
    return torch.where(tau <= profile.step, (gamma + 1) * tau**gamma / profile.step ** (gamma + 1), 0.0)


@pytest.fixture(scope="module")
def trajectory():
    """A random walk of 50 weights, whose average is never what it is."""
    return torch.randn(STEPS, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64).cumsum(dim=0)


@pytest.fixture(scope="module")
def track(trajectory):
    """Give a function that makes averages of the trajectory, and calls `each(step, averages)` after every step."""

    def run(widths, steps=STEPS, each=lambda step, averages: None):
        model = nn.Linear(50, 1, bias=False).double()
        averages = AveragedWeights(model, PowerEMA(widths=widths))
        for t in range(steps):
            model.weight.data.copy_(trajectory[t])
            averages.update(model, t)
            each(t + 1, averages)
        return {width: one.weight.detach()[0] for width, one in zip(widths, averages.models.values(), strict=True)}

    return run


@pytest.fixture(scope="module")
def stored(track, tmp_path_factory):
    """Give a function: the trajectory's snapshots as a dtype."""

    def store(dtype):
        folder = tmp_path_factory.mktemp("averages")

        def each(step, averages):
            if step % EVERY == 0:
                add_snapshots(folder, dict(zip(WIDTHS, averages.models.values(), strict=True)), step, dtype)

        track(WIDTHS, each=each)
        return find_snapshots(folder)

    return store


def made(snapshots, target):
    """The average that is made for a profile, and what is said of its error."""
    used = [one for one in snapshots if one.step <= target.step]
    combination = combine([Profile(width=one.width, step=one.step) for one in used], target)
    like = {"weight": torch.empty(1, 50, dtype=torch.float64)}
    return reconstruct(used, combination.factors, like)["weight"][0], combination


@pytest.mark.parametrize("width", [0.03, 0.07, 0.2])
@pytest.mark.parametrize("step", [60, 100])
def test_the_error_is_the_distance_of_the_profiles(width, step):
    target, given = Profile(width=width, step=step), profiles(steps=60)
    combination = combine(given, target)
    tau = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 2000
    wanted = density(target, tau)
    difference = sum(x * density(profile, tau) for x, profile in zip(combination.factors, given, strict=True)) - wanted
    # The midpoint rule on steps of 1/2000; profiles end with jumps, at multiples of the step.
    assert combination.error == pytest.approx((difference.norm() / wanted.norm()).item(), rel=1e-5)


def test_no_other_factors_do_better():
    target, given = Profile(width=0.07, step=60), profiles(steps=60)
    tau = (torch.arange(60_000, dtype=torch.float64) + 0.5) / 1000
    basis, wanted = torch.stack([density(profile, tau) for profile in given]), density(target, tau)
    best = combine(given, target)
    x = torch.tensor(best.factors, dtype=torch.float64)
    # At the minimum under sum x = 1 the gradient is the same for every factor.
    gradient = basis @ (x @ basis - wanted) / 1000
    assert gradient.std() < 1e-5 * (basis @ wanted / 1000).std()
    assert abs(gradient.mean()) > 10 * gradient.std()
    assert x.sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("index", [0, 7, 39])
def test_a_stored_profile_is_that_profile(index):
    given = profiles()
    combination = combine(given, given[index])
    assert combination.factors == pytest.approx([float(i == index) for i in range(len(given))], abs=1e-10)
    assert combination.error < 1e-7


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("step", [100, STEPS])
def test_a_stored_average_is_that_average(stored, track, width, step):
    result, _ = made(stored(torch.float32), Profile(width=width, step=step))
    expected = track(WIDTHS, steps=step)[width]
    torch.testing.assert_close(result, expected.float().double(), rtol=0, atol=1e-7)


@pytest.mark.parametrize(("width", "within"), [(0.04, 3e-2), (0.07, 3e-3), (0.08, 3e-3), (0.12, 3e-3), (0.15, 1e-2)])
@pytest.mark.parametrize("step", [200, STEPS])
def test_a_width_that_was_never_stored_agrees_with_the_tracked_one(stored, track, trajectory, width, within, step):
    result, combination = made(stored(torch.float32), Profile(width=width, step=step))
    off = result - track((width,), steps=step)[width]
    # Cauchy-Schwarz: |int (sum x p - p) theta| <= || sum x p - p || || theta - c || for every c, as sum x = 1.
    wanted = density(Profile(width=width, step=step), (torch.arange(step * 100, dtype=torch.float64) + 0.5) / 100)
    spread = (trajectory[:step] - trajectory[:step].mean(dim=0)).norm(dim=0)
    assert (off.abs() <= combination.error * wanted.norm() / 10 * spread + 1e-6).all()
    scale = trajectory[:step].std(dim=0).norm()
    assert off.norm() < within * scale
    assert off.norm() > 1e-6 * scale  # it is an approximation, and the bound above not an empty one


def test_half_precision_costs_its_rounding(stored):
    target = Profile(width=0.08, step=STEPS)
    (half, combination), (single, _) = made(stored(torch.float16), target), made(stored(torch.float32), target)
    bound = 2**-11 * sum(abs(x) for x in combination.factors) * 100  # weights of this trajectory stay below 100
    assert 0 < (half - single).abs().max() < bound


def test_more_snapshots_make_a_better_average():
    errors = [combine(profiles(every=every), Profile(width=0.07, step=STEPS)).error for every in (100, 50, 25)]
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 2


def test_weights_that_never_changed_stay(tmp_path):
    model = nn.Linear(3, 2)
    for step in (10, 20, 30):
        add_snapshots(tmp_path, dict.fromkeys(WIDTHS, model), step, torch.float32)
    snapshots = find_snapshots(tmp_path)
    combination = combine([Profile(width=one.width, step=one.step) for one in snapshots], Profile(width=0.15, step=30))
    assert combination.error > 0.01
    result = reconstruct(snapshots, combination.factors, model.state_dict())
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(result[name], tensor, rtol=1e-6, atol=0)
        assert result[name].dtype == tensor.dtype


@pytest.mark.parametrize("other", [nn.Linear(3, 1), nn.Linear(3, 2, bias=False)])
def test_snapshots_of_another_network_are_refused(tmp_path, other):
    add_snapshots(tmp_path, {0.1: nn.Linear(3, 2)}, 10, torch.float32)
    with pytest.raises(
        InputError, match=r"step-0000010-width-0.1.safetensors: expected the weights of the run's model"
    ):
        reconstruct(find_snapshots(tmp_path), [1.0], other.state_dict())
