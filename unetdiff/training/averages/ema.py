"""What all averages of the weights have in common: theta_ema <- d_t theta_ema + (1 - d_t) theta, after every step."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

__all__ = ["EMA"]


@dataclass(frozen=True, kw_only=True)
class EMA(ABC):
    """One average of the weights or several, each by its name."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the averages are called in files, at least one."""
        return ("ema",)

    @property
    def chosen(self) -> str:
        """Name of the average that previews and the model folder show."""
        return self.names[0]

    @abstractmethod
    def decays(self, t: int) -> tuple[float, ...]:
        """d_t of each average at update number t, from 0."""
