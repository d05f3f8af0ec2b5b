"""The denoising loss: lambda(sigma) |D(x0 + sigma eps, sigma) - x0|^2 (Karras et al. 2022, equation 2)."""

from torch import Tensor, nn
from typing_extensions import Unpack

from unetdiff.denoiser import Condition, Denoiser
from unetdiff.losses.objective import Objective
from unetdiff.losses.uncertainty import LogVariance

__all__ = ["DenoisingLoss", "denoising_loss"]


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
    denoised: Tensor = denoiser(images + sigma.to(images.dtype).reshape(-1, 1, 1, 1) * noise, sigma, **condition)
    error = (denoised - images).square().flatten(1).mean(dim=1)
    return objective.weight(sigma).to(error.dtype) * error


class DenoisingLoss(nn.Module):
    """All that training changes, as one module: processes exchange the gradients of what a module's forward used.

    `log_variance` is the u(sigma) of an objective that has it learned; None: the loss is `denoising_loss`.
    """

    def __init__(self, denoiser: Denoiser, objective: Objective, log_variance: LogVariance | None = None) -> None:
        super().__init__()
        self.denoiser, self.objective, self.log_variance = denoiser, objective, log_variance

    def forward(self, images: Tensor, noise: Tensor, sigma: Tensor, **condition: Unpack[Condition]) -> Tensor:
        """The loss of each image: (N,)."""
        loss = denoising_loss(self.denoiser, self.objective, images, noise, sigma, **condition)
        if self.log_variance is None:
            return loss
        u: Tensor = self.log_variance(sigma)
        return loss / u.exp() + u
