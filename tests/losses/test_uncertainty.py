"""The learned u(sigma): where it starts, where it ends, what it is made of."""

import pytest
import torch

from unetdiff.denoiser import Denoiser
from unetdiff.losses import DenoisingLoss, EDMObjective, LogVariance, denoising_loss

SIGMAS = torch.tensor([0.01, 0.3, 1.0, 50.0])


@pytest.fixture
def trained():
    """A u(sigma) that is not zero."""
    log_variance = LogVariance(16)
    torch.nn.init.normal_(log_variance.weight)
    return log_variance


def test_at_the_optimum_exp_u_is_the_expected_loss():
    losses = torch.rand(50, 4) * torch.tensor([0.1, 1.0, 3.0, 20.0])
    log_variance = LogVariance(64)
    optimizer = torch.optim.LBFGS(log_variance.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def objective():
        optimizer.zero_grad()
        u = log_variance(SIGMAS)
        total = (losses / u.exp() + u).sum(dim=1).mean()
        total.backward()
        return total

    optimizer.step(objective)
    torch.testing.assert_close(log_variance(SIGMAS).exp(), losses.mean(dim=0), rtol=1e-3, atol=0)


def test_the_loss_is_weighed_by_exp_u_and_starts_as_the_plain_one(raw, trained):
    objective = EDMObjective()
    images, noise, output = torch.randn(3, 4, 1, 3, 3)
    denoiser = Denoiser(raw(lambda x: output), objective.preconditioning)
    plain = denoising_loss(denoiser, objective, images, noise, SIGMAS)
    assert torch.equal(DenoisingLoss(denoiser, objective, LogVariance(16))(images, noise, SIGMAS), plain)
    u = trained(SIGMAS)
    assert (u != 0).all()
    torch.testing.assert_close(DenoisingLoss(denoiser, objective, trained)(images, noise, SIGMAS), plain / u.exp() + u)


def test_features_have_unit_magnitude_and_stay_as_drawn():
    log_variance = LogVariance(100_000)
    log_variance(SIGMAS[:1]).sum().backward()  # u is linear: its gradient is the features
    assert log_variance.weight.grad.square().mean().item() == pytest.approx(1, abs=0.01)
    assert [name for name, _ in log_variance.named_parameters()] == ["weight"]
    assert set(log_variance.state_dict()) == {"weight", "frequencies", "phases"}


def test_half_precision_leaves_it_alone(trained):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = trained(SIGMAS)
    assert torch.equal(inside, trained(SIGMAS))
