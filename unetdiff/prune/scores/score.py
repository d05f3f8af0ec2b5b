"""What all criteria have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from unetdiff.denoiser import Denoiser
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.parts import Part

__all__ = ["Score"]


class Score(ABC):
    """A number for each part, 0 or more: the greater, the more the network misses the part."""

    @abstractmethod
    def __call__(self, denoiser: Denoiser, parts: Sequence[Part], calibration: Calibration) -> dict[str, float]:
        """The scores of the parts of a network in evaluation mode, by their names."""
