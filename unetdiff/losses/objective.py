"""What all training objectives have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from unetdiff.losses.uncertainty import Uncertainty
from unetdiff.losses.weighting import Weighting
from unetdiff.preconditioning import Preconditioning

__all__ = ["Objective"]


@dataclass(frozen=True, kw_only=True)
class Objective(ABC):
    """A preconditioning with the training distribution of its noise levels and their weights.

    `weighting` null: the plain squared error of what the network predicts. `uncertainty`: a further weight is learned;
    the loss that is reported is then l / exp(u) + u.
    """

    weighting: Weighting | None = None
    uncertainty: Uncertainty | None = None

    def __post_init__(self) -> None:
        _ = self.preconditioning  # it checks the fields that it is made of

    @property
    @abstractmethod
    def preconditioning(self) -> Preconditioning:
        """What turns the network into a denoiser."""

    @abstractmethod
    def sigma(self, u: Tensor) -> Tensor:
        """Quantile function of the training noise levels: u in (0, 1), one number per image."""

    def weight(self, sigma: Tensor) -> Tensor:
        """lambda(sigma), the factor on the squared error of the clean image; without a weighting 1 / c_out^2.

        The error of the clean image is c_out times that of the network's output, x0 - D = c_out (target - F).
        """
        if self.weighting is None:
            return self.preconditioning.c_out(sigma) ** -2
        return self.weighting.weight(sigma)
