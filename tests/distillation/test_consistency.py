"""Consistency distillation on Gaussian images: the path through x ends at s sigma_min / sqrt(s^2 + sigma^2), about."""

import pytest
import torch

from unetdiff.distillation import ConsistencyDistillation, Teacher
from unetdiff.distillation.consistency import ConsistencyLoss
from unetdiff.distillation.ode import Levels
from unetdiff.losses import EDMObjective

RANGE = (0.01, 20.0)
S = 0.5
OBJECTIVE = EDMObjective(sigma_min=RANGE[0], sigma_max=RANGE[1])


def make(student, average, teacher, steps):
    levels = Levels(steps=steps, rho=7.0, sigma_range=RANGE)
    return ConsistencyLoss(student, OBJECTIVE, Teacher(teacher), Teacher(average), levels, huber=0.00054)


def end_of_path(x, sigma):
    """The ODE dx/dsigma = sigma x / (s^2 + sigma^2) keeps x / sqrt(s^2 + sigma^2)."""
    return ((S**2 + RANGE[0] ** 2) / (S**2 + sigma**2)).sqrt().reshape(-1, 1, 1, 1) * x


class Path(torch.nn.Module):
    """The consistency function itself."""

    def forward(self, x, sigma, **condition):
        return end_of_path(x, sigma)


def targets(steps, gaussian):
    """What is asked of every level, of a student that already has what is asked of the levels below."""
    levels = Levels(steps=steps, rho=7.0, sigma_range=RANGE)
    sigmas, factors = levels(torch.arange(1, steps + 1)), []

    class SoFar(torch.nn.Module):
        def forward(self, x, sigma, **condition):
            return x * (factors[-1] if factors else torch.nan)

    loss = make(SoFar(), SoFar(), gaussian(S), steps)
    for sigma in sigmas[:, None]:  # each asks the one before
        factors.append(loss.target(torch.ones(1, 1, 1, 1, dtype=torch.float64), sigma).item())  # noqa: PERF401
    return sigmas, torch.tensor(factors, dtype=torch.float64)


@pytest.mark.parametrize("steps", [32, 64])
def test_the_targets_are_the_ends_of_the_paths_to_second_order(gaussian, steps):
    """Heun's error falls by four with twice the steps."""
    errors = []
    for n in (steps, 2 * steps):
        sigmas, factors = targets(n, gaussian)
        exact = end_of_path(torch.ones(n, 1, 1, 1, dtype=torch.float64), sigmas).flatten()
        errors.append((factors / exact - 1).abs().max().item())
    assert errors[0] < 0.05
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)


def test_the_consistency_function_has_next_to_no_loss(gaussian):
    images, noise = torch.randn(2, 64, 1, 2, 2, dtype=torch.float64)
    exact, other = (make(student, student, gaussian(S), 256) for student in (Path(), gaussian(S)))
    sigma = exact.sigma((torch.arange(64, dtype=torch.float64) + 0.5) / 64)
    assert exact(images, noise, sigma).max() < 1e-2 * other(images, noise, sigma).max()


def test_the_least_level_is_the_boundary_and_asks_no_average(gaussian):
    """x' itself: whatever the average says there."""

    class Wrong(torch.nn.Module):
        def forward(self, x, sigma, **condition):
            return torch.full_like(x, 1e6)

    loss = make(Path(), Wrong(), gaussian(S), 100)
    sigma = loss.levels(torch.tensor([1, 2]))
    target = loss.target(torch.ones(2, 1, 1, 1, dtype=torch.float64), sigma).flatten()
    assert target[0].item() == pytest.approx(end_of_path(torch.ones(1, 1, 1, 1), sigma[:1]).item(), rel=1e-3)
    assert target[1] == 1e6


def test_the_distance_is_pseudo_huber(gaussian):
    loss = make(Path(), Path(), gaussian(S), 8)
    images, noise = torch.randn(2, 3, 1, 4, 4, dtype=torch.float64)
    sigma = loss.sigma(torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64))
    x = images + sigma.reshape(-1, 1, 1, 1) * noise
    square = (end_of_path(x, sigma) - loss.target(x, sigma)).square().sum((1, 2, 3))
    c = 0.00054 * 4
    torch.testing.assert_close(loss(images, noise, sigma), (square + c**2).sqrt() - c)


def test_gradients_reach_the_student_alone(gaussian, levelwise):
    levels = Levels(steps=8, rho=7.0, sigma_range=RANGE)
    student, average = levelwise(levels), levelwise(levels)
    loss = make(student, average, gaussian(S), 8)
    images = torch.randn(8, 1, 2, 2, dtype=torch.float64)
    loss(images, torch.randn_like(images), loss.sigma((torch.arange(8).double() + 0.5) / 8)).sum().backward()
    assert (student.factors.grad != 0).all()
    assert average.factors.grad is None
    assert list(loss.parameters()) == [student.factors]


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="distill.huber: expected a positive number, got 0"):
        ConsistencyDistillation(teacher="", huber=0.0)
