"""The denoising loss: lambda(sigma) |D(x0 + sigma eps, sigma) - x0|^2 (Karras et al. 2022, equation 2)."""

from torch import Tensor
from typing_extensions import Unpack

from unetdiff.denoiser import Condition, Denoiser
from unetdiff.losses.objective import Objective
from unetdiff.losses.training_loss import TrainingLoss
from unetdiff.losses.uncertainty import LogVariance

__all__ = ["DenoisingLoss", "denoising_loss", "noised", "weighted_error"]


def denoising_loss(
    denoiser: Denoiser,
    objective: Objective,
    images: Tensor,
    noise: Tensor,
    sigma: Tensor,
    **condition: Unpack[Condition],
) -> Tensor:
    """lambda(sigma) times the mean squared error of the denoised image, for each image: (N,).

    `images` and `noise` are (N, C, H, W), `sigma` is (N,).
    """
    denoised: Tensor = denoiser(noised(images, noise, sigma), sigma, **condition)
    return weighted_error(objective, denoised, images, sigma)


def noised(images: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """x = x0 + sigma eps, with a noise level for each image."""
    return images + sigma.to(images.dtype).reshape(-1, 1, 1, 1) * noise


def weighted_error(objective: Objective, denoised: Tensor, target: Tensor, sigma: Tensor) -> Tensor:
    """lambda(sigma) times the mean squared difference of two estimates of the clean image: (N,)."""
    error = (denoised - target).square().flatten(1).mean(dim=1)
    return objective.weight(sigma).to(error.dtype) * error


class DenoisingLoss(TrainingLoss):
    """`denoising_loss`, or with `log_variance`, the u(sigma) of an objective that has it learned, l / exp(u) + u."""

    def __init__(self, denoiser: Denoiser, objective: Objective, log_variance: LogVariance | None = None) -> None:
        super().__init__(denoiser, objective)
        self.log_variance = log_variance

    def forward(self, images: Tensor, noise: Tensor, sigma: Tensor, **condition: Unpack[Condition]) -> Tensor:
        """The loss of each image: (N,)."""
        loss = denoising_loss(self.denoiser, self.objective, images, noise, sigma, **condition)
        if self.log_variance is None:
            return loss
        u: Tensor = self.log_variance(sigma)
        return loss / u.exp() + u
