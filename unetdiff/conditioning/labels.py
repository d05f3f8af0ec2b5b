"""Classes: one number per image, and the null class for none."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetdiff.nn.class_embedding import NULL_CLASS

__all__ = ["ClassLabels"]


@dataclass(frozen=True)
class ClassLabels:
    """`labels` (N,) of a dataset's images."""

    labels: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64], dropped: NDArray[np.bool_]) -> Mapping[str, Tensor]:
        """`class_labels` (B,)."""
        return {"class_labels": torch.from_numpy(np.where(dropped, NULL_CLASS, self.labels[rows]))}
