"""Progressive distillation on Gaussian images, where every step is a factor."""

import pytest
import torch

from unetdiff.distillation import ProgressiveDistillation, Teacher
from unetdiff.distillation.ode import Levels, ddim
from unetdiff.distillation.progressive import ProgressiveLoss
from unetdiff.losses import EDMObjective

RANGE = (0.01, 20.0)
OBJECTIVE = EDMObjective(sigma_min=RANGE[0], sigma_max=RANGE[1])


def levels(steps):
    return Levels(steps=steps, rho=7.0, sigma_range=RANGE)


def sampled(denoise, grid, x):
    """Where DDIM ends that starts from x at the greatest level."""
    sigmas = torch.cat([grid(torch.arange(grid.steps, 0, -1)), torch.zeros(1, dtype=torch.float64)])
    for sigma, sigma_next in zip(sigmas[:-1, None], sigmas[1:, None], strict=True):
        x = ddim(x, denoise(x, sigma), sigma, sigma_next)
    return x


def best(loss, grid):
    """The student that has the targets of every level."""
    sigma = grid(torch.arange(1, grid.steps + 1))
    x = torch.ones(grid.steps, 1, 1, 1, dtype=torch.float64)
    return loss.target(x, sigma).flatten()


@pytest.fixture
def images():
    return torch.randn(8, 1, 2, 2, dtype=torch.float64)


def test_rounds_of_halving_keep_where_the_sampler_ends(gaussian, levelwise, images):
    """Each student's N steps end where its teacher's 2 N did: in the end one step does what sixteen did."""
    x = RANGE[1] * images
    teacher = gaussian()
    expected = sampled(teacher, levels(16), x)
    for steps in (8, 4, 2, 1):
        student = levelwise(levels(steps))
        loss = ProgressiveLoss(student, OBJECTIVE, Teacher(teacher), levels(steps))
        student.factors.data = best(loss, levels(steps))
        torch.testing.assert_close(sampled(student, levels(steps), x), expected, rtol=1e-9, atol=0)
        teacher = student


def test_gradient_descent_finds_that_student(gaussian, levelwise, images):
    student = levelwise(levels(4))
    loss = ProgressiveLoss(student, OBJECTIVE, Teacher(gaussian()), levels(4))
    sigma = loss.sigma((torch.arange(8, dtype=torch.float64) + 0.5) / 8)
    assert loss(images, torch.randn_like(images), sigma).min() > 0
    student.factors.data = best(loss, levels(4))
    losses = loss(images, torch.randn_like(images), sigma)
    assert losses.max() < 1e-24
    losses.sum().backward()
    assert student.factors.grad.abs().max() < 1e-9


def test_the_loss_is_weighed_by_the_objective(gaussian, levelwise, images):
    """In float32, as in training."""
    student = levelwise(levels(4)).float()
    loss = ProgressiveLoss(student, OBJECTIVE, Teacher(gaussian()), levels(4))
    sigma, noise = loss.sigma(torch.full((8,), 0.6)), torch.randn(8, 1, 2, 2)
    x = images.float() + sigma.reshape(-1, 1, 1, 1) * noise
    error = (student.factors.detach()[2] * x - loss.target(x, sigma)).square().mean((1, 2, 3))
    expected = error / OBJECTIVE.preconditioning.c_out(sigma) ** 2
    torch.testing.assert_close(loss(images.float(), noise, sigma), expected)


def test_conditions_are_told_to_both(levelwise):
    told = []

    class Listening(torch.nn.Module):
        def forward(self, x, sigma, **condition):
            told.append(condition)
            return x * 1.0

    loss = ProgressiveLoss(Listening(), OBJECTIVE, Teacher(Listening()), levels(2))
    loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), loss.sigma(torch.tensor([0.7])), class_labels=5)
    assert told == [{"class_labels": 5}] * 3


def test_a_number_of_steps_below_one_is_refused():
    with pytest.raises(ValueError, match="distill.steps: expected a positive number, got 0"):
        ProgressiveDistillation(teacher="", steps=0)
