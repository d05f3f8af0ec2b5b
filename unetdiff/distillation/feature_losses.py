"""How far a student's feature map is from its teacher's, for each image.

f_T and f_S are the maps of one node, (N, C, H, W), and all means are over the C H W numbers of an image. A teacher's
maps differ in size by orders of magnitude, so that a plain sum over nodes is about the largest few; LAPTOP-Diff (Zhang
et al. 2024, https://arxiv.org/abs/2404.11098) therefore weighs each by the teacher's norm. Statistics are those of an
image, never of a batch: how a batch is parted makes no difference.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from unetdiff.plain import require

__all__ = ["FeatureLoss", "MaskedFeatures", "NormalisedFeatures", "PlainFeatures"]


class FeatureLoss(ABC):
    """The distance of one pair of feature maps."""

    @abstractmethod
    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """(N, C, H, W) twice -> (N,)."""


@dataclass(frozen=True, kw_only=True)
class PlainFeatures(FeatureLoss):
    """mean |f_S - f_T|^2, as in BK-SDM (Kim et al. 2023, equation 4)."""

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The mean squared difference."""
        return _mean_square(student - teacher)


@dataclass(frozen=True, kw_only=True)
class NormalisedFeatures(FeatureLoss):
    """mean |f_S - f_T|^2 / |f_T|^power, with |f_T| the root mean square of the teacher's map (LAPTOP-style).

    With power 2 the loss is the relative error: it does not change when both maps are scaled. With power 1 larger maps
    still weigh more. Which of the two, and which norm exactly, the paper has is not public.
    """

    power: Literal[1, 2] = 2

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The mean squared difference over the norm's power."""
        return _mean_square(student - teacher) / _mean_square(teacher) ** (self.power / 2)


@dataclass(frozen=True, kw_only=True)
class MaskedFeatures(FeatureLoss):
    """The mean squared difference without outliers (TinyFusion, Fang et al. 2024, section 3.4).

    A number further than `deviations` standard deviations from the mean of its own map counts as zero, in both maps.
    """

    deviations: float = 2.0

    def __post_init__(self) -> None:
        require(self.deviations > 0, "deviations", "a positive number", self.deviations)

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The mean over all numbers of the map, the masked ones too."""
        usual = self._usual(student) & self._usual(teacher)
        return _mean_square((student - teacher) * usual)

    def _usual(self, features: Tensor) -> Tensor:
        features = features.detach()
        dims = tuple(range(1, features.ndim))
        mean, std = features.mean(dims, keepdim=True), features.std(dims, correction=0, keepdim=True)
        return (features - mean).abs() <= self.deviations * std


def _mean_square(x: Tensor) -> Tensor:
    return x.square().flatten(1).mean(dim=1)
