"""Vectors: any numbers that are known of an image, and zeros for none (they should therefore be centred on zero)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Vectors"]


@dataclass(frozen=True)
class Vectors:
    """`vectors` (N, D) of a dataset's images."""

    vectors: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64], dropped: NDArray[np.bool_]) -> Mapping[str, Tensor]:
        """`vector` (B, D)."""
        return {"vector": torch.from_numpy(np.where(dropped[:, None], np.float32(0), self.vectors[rows]))}
