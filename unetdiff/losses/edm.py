"""The objective of EDM (Karras et al. 2022, section 5)."""

from dataclasses import dataclass

from torch import Tensor

from unetdiff.losses.objective import Objective
from unetdiff.noise import log_normal
from unetdiff.plain import require
from unetdiff.preconditioning import EDM

__all__ = ["EDMObjective"]


@dataclass(frozen=True, kw_only=True)
class EDMObjective(Objective):
    """Log-normal noise levels; lambda = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 (Karras et al. 2022, table 1).

    The loss at initialisation is then one at every noise level.
    """

    P_mean: float = -1.2
    P_std: float = 1.2
    sigma_data: float = 0.5
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.P_std > 0, "objective.P_std", "a positive number", self.P_std)

    @property
    def preconditioning(self) -> EDM:
        """EDM's."""
        return EDM(sigma_data=self.sigma_data, sigma_min=self.sigma_min, sigma_max=self.sigma_max)

    def sigma(self, u: Tensor) -> Tensor:
        """ln(sigma) ~ N(P_mean, P_std^2)."""
        return log_normal(u, self.P_mean, self.P_std)
