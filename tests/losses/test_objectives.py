"""What every objective minimises, what a network learns to predict, and which noise levels it sees."""

import math
from dataclasses import replace

import pytest
import torch

from unetdiff.denoiser import Denoiser
from unetdiff.losses import (
    DenoisingLoss,
    EDMObjective,
    EpsilonObjective,
    LogitNormal,
    MinSNR,
    RectifiedFlowObjective,
    SoftMinSNR,
    Uncertainty,
    Uniform,
    VObjective,
    X0Objective,
    denoising_loss,
)
from unetdiff.noise import DiscreteSchedule

ULP = 2.0**-24


@pytest.mark.parametrize("weighting", [None, MinSNR(), SoftMinSNR()], ids=lambda w: type(w).__name__)
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("sigma", [0.02, 0.7, 40.0])
def test_the_best_linear_denoiser_of_gaussian_data_is_the_posterior_mean(objective, raw, weighting, learned, sigma):
    """For x0 ~ N(0, s^2) the gradient vanishes at D = s^2 / (s^2 + sigma^2) x; three nodes make E exact for squares."""
    s = 0.6
    nodes, masses = torch.tensor([[-(3**0.5), 0.0, 3**0.5], [1 / 6, 4 / 6, 1 / 6]], dtype=torch.float64)
    images, noise = (axis.reshape(-1, 1, 1, 1) for axis in torch.meshgrid(s * nodes, nodes, indexing="ij"))
    mass, level = torch.outer(masses, masses).flatten(), torch.full((9,), sigma, dtype=torch.float64)

    objective = replace(objective, weighting=weighting)
    p, log_variance = objective.preconditioning, Uncertainty(channels=4).build() if learned else None
    if log_variance is not None:
        torch.nn.init.normal_(log_variance.weight)
    c_skip, c_out, c_in = (c(level[:1]) for c in (p.c_skip, p.c_out, p.c_in))
    best = (s**2 / (s**2 + sigma**2) - c_skip) / (c_out * c_in)

    def gradient(factor):
        factor = factor.clone().requires_grad_()
        loss = DenoisingLoss(Denoiser(raw(lambda x: factor * x), p), objective, log_variance)
        (mass * loss(images, noise, level)).sum().backward()
        return factor.grad.item()

    assert abs(gradient(best)) < 1e-10 * abs(gradient(best + 1))


def edm_target(images, noise, sigma):
    """(x0 - c_skip x) / c_out for sigma_data = 1/2 (Karras et al. 2022, equation 8)."""
    root = (sigma**2 + 0.25).sqrt()
    return (images - 0.25 / root**2 * (images + sigma * noise)) * root / (0.5 * sigma)


@pytest.mark.parametrize(
    ("objective", "target"),
    [
        (EDMObjective(), edm_target),
        (EpsilonObjective(), lambda images, noise, sigma: noise),
        (VObjective(), lambda images, noise, sigma: (noise - sigma * images) / (1 + sigma**2).sqrt()),
        (X0Objective(), lambda images, noise, sigma: images),
        (RectifiedFlowObjective(), lambda images, noise, sigma: noise - images),
    ],
    ids=lambda value: type(value).__name__,
)
def test_without_a_weighting_the_loss_is_the_squared_error_of_the_prediction(objective, target, raw):
    images, noise, output = torch.randn(3, 4, 1, 3, 3, dtype=torch.float64)
    sigma = torch.tensor([0.05, 0.4, 2.0, 30.0], dtype=torch.float64)
    denoiser = Denoiser(raw(lambda x: output), objective.preconditioning)
    loss = denoising_loss(denoiser, objective, images, noise, sigma)
    expected = (output - target(images, noise, sigma.reshape(-1, 1, 1, 1))).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)


def test_the_weight_of_edm():
    """Karras et al. 2022, table 1: (sigma^2 + sigma_data^2) / (sigma sigma_data)^2."""
    weight = EDMObjective(sigma_data=0.25).weight(torch.tensor([0.25, 1.0], dtype=torch.float64))
    torch.testing.assert_close(weight, torch.tensor([32.0, 17.0], dtype=torch.float64), rtol=1e-14, atol=0)


def test_noise_levels_rise_with_u_and_stay_finite(objective):
    u = torch.cat([torch.tensor([ULP]), torch.linspace(0.001, 0.999, 500), torch.tensor([1 - ULP])])
    sigma = objective.sigma(u)
    assert sigma.isfinite().all()
    assert (sigma > 0).all()
    assert (sigma.diff() >= 0).all()
    assert objective.weight(sigma).isfinite().all()


GRID = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000


def test_edm_noise_levels_are_log_normal():
    sigma = EDMObjective(P_mean=-1.0, P_std=1.2).sigma(GRID)
    distribution = torch.distributions.LogNormal(*torch.tensor([-1.0, 1.2], dtype=torch.float64))
    torch.testing.assert_close(distribution.cdf(sigma), GRID, rtol=0, atol=1e-12)


def test_discrete_noise_levels_are_uniform_over_timesteps():
    objective = VObjective(schedule=DiscreteSchedule(steps=10))
    assert torch.equal(objective.sigma(GRID), objective.schedule.sigmas.repeat_interleave(200))
    assert objective.sigma(torch.tensor([1.0])) == objective.schedule.sigmas[-1].float()


def test_uniform_times_are_uniform():
    sigma = RectifiedFlowObjective(times=Uniform()).sigma(GRID)
    torch.testing.assert_close((sigma / (1 + sigma))[2:-1], GRID[2:-1], rtol=1e-12, atol=0)  # inside [t_min, t_max]


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-0.5, 0.6), (1.0, 1.5)])
def test_logit_normal_times_have_their_density(mean, std):
    """The share of times below t(u) is the integral of the density (Esser et al. 2024, equation 19): u."""
    t = torch.linspace(1e-4, 1 - 1e-4, 200_001, dtype=torch.float64)
    density = (-((t.logit() - mean) ** 2) / (2 * std**2)).exp() / (std * math.sqrt(2 * math.pi) * t * (1 - t))
    below = torch.cumulative_trapezoid(density, t)
    u = GRID[20:-20]
    sigma = RectifiedFlowObjective(times=LogitNormal(mean=mean, std=std)).sigma(u)
    place = torch.searchsorted(t, sigma / (1 + sigma))
    torch.testing.assert_close(below[place - 1], u, rtol=0, atol=3e-5)  # a cell of the grid holds up to 2e-5


def test_times_beyond_the_ends_train_the_ends():
    objective = RectifiedFlowObjective(times=Uniform(), t_min=0.01, t_max=0.9)
    sigma = objective.sigma(torch.tensor([0.001, 0.5, 0.95], dtype=torch.float64))
    torch.testing.assert_close(sigma, torch.tensor([1 / 99, 1.0, 9.0], dtype=torch.float64), rtol=1e-12, atol=0)


def test_sigma_ranges():
    assert EDMObjective(sigma_min=0.01, sigma_max=20.0).preconditioning.sigma_range == (0.01, 20.0)
    for discrete in (EpsilonObjective(), VObjective(), X0Objective()):
        assert discrete.preconditioning.sigma_range == pytest.approx((0.010000500, 157.407), rel=1e-4)
    flow = RectifiedFlowObjective(t_min=0.2, t_max=0.8)
    assert flow.preconditioning.sigma_range == pytest.approx((0.25, 4.0), rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (EDMObjective, {"P_std": 0.0}),
        (EDMObjective, {"sigma_min": 1.0, "sigma_max": 0.5}),
        (EDMObjective, {"sigma_data": -1.0}),
        (RectifiedFlowObjective, {"t_min": 0.9, "t_max": 0.1}),
        (LogitNormal, {"std": 0.0}),
        (MinSNR, {"gamma": 0.0}),
        (SoftMinSNR, {"gamma": -1.0}),
        (Uncertainty, {"channels": 0}),
    ],
)
def test_bad_objectives_are_refused_by_the_name_of_the_field(kind, fields):
    with pytest.raises(ValueError, match=f"{next(iter(fields))}.*: expected"):
        kind(**fields)
