"""Multi-layer perceptron on pooled maps, a head of Mukhopadhyay et al. 2023 (arXiv:2307.08702).

    mean over p x p fields -> (x - mean) / standard deviation -> (linear -> ReLU) for every width -> linear

The normalisation, batch norm without parameters, is not the paper's but l-DAE's (Chen et al. 2024): features of
different places differ in scale by orders of magnitude, which no single learning rate fits.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from unetdiff.plain import require
from unetdiff.probes.networks.grid import Grid, Maps

__all__ = ["MLP", "MLPHead"]


@dataclass(frozen=True, kw_only=True)
class MLP:
    """Fields along each side of a map (`pool`; at most its positions), and the width of every hidden layer."""

    pool: int = 2
    widths: tuple[int, ...] = (512,)

    def __post_init__(self) -> None:
        require(self.pool > 0, "pool", "at least 1 field", self.pool)
        require(min(self.widths, default=1) > 0, "widths", "numbers above 0", self.widths)

    def build(self, grid: Grid, classes: int) -> "MLPHead":
        """The network for these maps."""
        return MLPHead(self, grid, classes)


class MLPHead(nn.Module):
    """Maps of a grid -> logits (N, classes)."""

    def __init__(self, config: MLP, grid: Grid, classes: int) -> None:
        super().__init__()
        self.grid = grid
        sides = [(min(height, config.pool), min(width, config.pool)) for _, height, width in grid.shapes]
        self.pools = nn.ModuleList([nn.AdaptiveAvgPool2d(side) for side in sides])
        each = sum(shape[0] * height * width for shape, (height, width) in zip(grid.shapes, sides, strict=True))
        widths = (grid.levels * each, *config.widths)
        self.norm = nn.BatchNorm1d(widths[0], affine=False)
        self.hidden = nn.Sequential()
        for narrow, wide in pairwise(widths):
            self.hidden.extend([nn.Linear(narrow, wide), nn.ReLU()])
        self.out = nn.Linear(widths[-1], classes)

    def forward(self, maps: Maps) -> Tensor:
        """Logits, (N, classes)."""
        self.grid.check(maps)
        pooled = [pool(x).flatten(1) for level in maps for pool, x in zip(self.pools, level, strict=True)]
        logits: Tensor = self.out(self.hidden(self.norm(torch.cat(pooled, dim=1))))
        return logits
