"""DINOv2 as the Frechet distance FD-DINOv2 takes it: the class token of images of 224 pixels (Stein et al. 2023).

The paper's network is facebook/dinov2-large. https://arxiv.org/abs/2306.04675
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from typing_extensions import Self

from unetdiff.evaluation.vision_model import VisionModel

__all__ = ["DinoV2"]

SIDE = 224


@dataclass(frozen=True, kw_only=True)
class DinoV2(VisionModel):
    """A vision model with a class token as the first of its positions, which is taken alone."""

    @classmethod
    def load(cls, source: str, device: torch.device | str = "cpu") -> Self:
        """See `VisionModel.load`; the size is the paper's and not that of training, which is larger."""
        return replace(super().load(source, device), side=SIDE)

    def pooled(self, last: Tensor) -> Tensor:
        """(N, positions, F) -> (N, F)."""
        return last[:, 0]
