"""The objective for a network of any preconditioning, such as one that was trained elsewhere."""

from dataclasses import dataclass, field

from torch import Tensor

from unetdiff.losses.objective import Objective
from unetdiff.noise import log_normal
from unetdiff.plain import require
from unetdiff.preconditioning import EDM, Preconditioning

__all__ = ["LogNormalObjective"]


@dataclass(frozen=True, kw_only=True)
class LogNormalObjective(Objective):
    """The squared error of what the network predicts, at log-normal noise levels (Karras et al. 2022, table 1).

    `prediction` is the preconditioning; levels beyond its range train its ends.
    """

    prediction: Preconditioning = field(default_factory=EDM)
    P_mean: float = -1.2
    P_std: float = 1.2

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.P_std > 0, "objective.P_std", "a positive number", self.P_std)

    @property
    def preconditioning(self) -> Preconditioning:
        """As configured."""
        return self.prediction

    def sigma(self, u: Tensor) -> Tensor:
        """ln(sigma) ~ N(P_mean, P_std^2)."""
        return log_normal(u, self.P_mean, self.P_std).clamp(*self.prediction.sigma_range)
