"""Parameter-free batch norm: every value with mean 0 and variance 1 over the training rows.

Chen et al. 2024 (l-DAE, arXiv 2401.14404, appendix A) put it before the linear probe. Features that are stored stand
still, so the statistics are those of all training rows, which running averages over minibatches only estimate.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from unetdiff.probes.rows import Rows, blocks

__all__ = ["Standardisation"]

CONSTANT = torch.finfo(torch.float32).eps  # deviation of rounding alone, relative to the mean


@dataclass(frozen=True, kw_only=True, eq=False)
class Standardisation:
    """x -> (x - mean) / deviation, each (C h w,); what never changes becomes 0."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, rows: Rows) -> "Standardisation":
        """Of all rows, in two passes: the second sums squares about the mean, which loses no digits."""
        mean = torch.stack([block.double().sum(dim=0) for block in blocks(rows)]).sum(dim=0) / len(rows)
        squares = torch.stack([(block.double() - mean).square().sum(dim=0) for block in blocks(rows)]).sum(dim=0)
        deviation = (squares / len(rows)).sqrt()
        constant = deviation <= CONSTANT * mean.abs()
        return cls(mean=mean.float(), deviation=deviation.where(~constant, 1).float())

    def __call__(self, x: Tensor) -> Tensor:
        """(n, C h w) in the same shape."""
        return (x - self.mean) / self.deviation
