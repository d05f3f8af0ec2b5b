import pytest
import torch

from unetdiff.denoiser import Denoiser
from unetdiff.losses import EDMObjective, EpsilonObjective, denoising_loss
from unetdiff.noise import DiscreteSchedule


class Raw(torch.nn.Module):
    """A network whose raw output is given."""

    dtype = torch.float64

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x, noise, return_dict, **condition):
        return (self.output,)


def batch():
    generator = torch.Generator().manual_seed(2)
    images, noise, output = (torch.randn(4, 1, 3, 3, generator=generator, dtype=torch.float64) for _ in range(3))
    return images, noise, output, torch.tensor([0.05, 0.4, 2.0, 30.0], dtype=torch.float64)


def test_epsilon_loss_is_the_squared_error_of_the_noise():
    images, noise, output, sigma = batch()
    objective = EpsilonObjective()
    loss = denoising_loss(Denoiser(Raw(output), objective.preconditioning), objective, images, noise, sigma)
    torch.testing.assert_close(loss, (output - noise).square().mean(dim=(1, 2, 3)), rtol=1e-9, atol=0)


def test_edm_loss_is_the_squared_error_of_the_raw_target():
    """Karras et al. 2022, equation 8: lambda c_out^2 = 1, so the loss is |F - (x0 - c_skip x) / c_out|^2."""
    images, noise, output, sigma = batch()
    objective = EDMObjective()
    p, s = objective.preconditioning, sigma.reshape(-1, 1, 1, 1)
    target = (images - p.c_skip(s) * (images + s * noise)) / p.c_out(s)
    loss = denoising_loss(Denoiser(Raw(output), p), objective, images, noise, sigma)
    torch.testing.assert_close(loss, (output - target).square().mean(dim=(1, 2, 3)), rtol=1e-9, atol=0)


def test_edm_noise_levels_are_log_normal():
    u = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    log_sigma = EDMObjective(P_mean=-1.0, P_std=1.2).sigma(u).log()
    assert log_sigma.mean().item() == pytest.approx(-1.0, abs=1e-6)
    assert log_sigma.std().item() == pytest.approx(1.2, rel=1e-3)


def test_epsilon_noise_levels_are_uniform_over_timesteps():
    objective = EpsilonObjective(schedule=DiscreteSchedule(steps=10))
    u = (torch.arange(20, dtype=torch.float64) + 0.5) / 20
    assert torch.equal(objective.sigma(u), objective.schedule.sigmas.repeat_interleave(2))
    assert objective.sigma(torch.tensor([1.0])) == objective.schedule.sigmas[-1].float()


def test_sigma_ranges():
    assert EDMObjective(sigma_min=0.01, sigma_max=20.0).preconditioning.sigma_range == (0.01, 20.0)
    low, high = EpsilonObjective().preconditioning.sigma_range
    assert (low, high) == pytest.approx((0.010000500, 157.407), rel=1e-4)


@pytest.mark.parametrize("fields", [{"P_std": 0.0}, {"sigma_min": 1.0, "sigma_max": 0.5}, {"sigma_data": -1.0}])
def test_bad_objectives_are_refused(fields):
    with pytest.raises(ValueError, match="expected"):
        EDMObjective(**fields).preconditioning  # noqa: B018  # sigma_data is checked where it is used
