"""What all losses of the training loop have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn
from typing_extensions import Unpack

from unetdiff.denoiser import Condition, Denoiser
from unetdiff.losses.objective import Objective

__all__ = ["TrainingLoss"]


class TrainingLoss(nn.Module, ABC):
    """All that training changes, as one module: processes exchange the gradients of what a module's forward used.

    Attributes:
        terms: What the loss was the sum of in the last call, by name, each the mean over its images (a number without
            gradient); empty where the loss is one thing.
    """

    terms: Mapping[str, Tensor]

    def __init__(self, denoiser: Denoiser, objective: Objective) -> None:
        super().__init__()
        self.denoiser, self.objective = denoiser, objective
        self.terms = {}

    def sigma(self, u: Tensor) -> Tensor:
        """Quantile function of the noise levels that the loss is trained at: u in (0, 1), one number per image."""
        return self.objective.sigma(u)

    @abstractmethod
    def forward(self, images: Tensor, noise: Tensor, sigma: Tensor, **condition: Unpack[Condition]) -> Tensor:
        """The loss of each image: (N,); `images` and `noise` are (N, C, H, W), `sigma` is (N,)."""
