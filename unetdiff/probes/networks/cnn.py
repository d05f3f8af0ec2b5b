"""Convolutions on feature maps. Papers compare with such a head without saying its layers; this is a small plain one.

    (x - mean) / standard deviation -> (3x3 convolution -> batch norm -> ReLU) for every width -> mean -> linear

Several maps have convolutions of their own, and their means are concatenated.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from unetdiff.plain import require
from unetdiff.probes.networks.grid import Grid, Maps

__all__ = ["CNN", "CNNHead"]


@dataclass(frozen=True, kw_only=True)
class CNN:
    """Channels behind every convolution."""

    widths: tuple[int, ...] = (128, 128)

    def __post_init__(self) -> None:
        require(min(self.widths, default=0) > 0, "widths", "one number above 0 or more", self.widths)

    def build(self, grid: Grid, classes: int) -> "CNNHead":
        """The network for these maps."""
        return CNNHead(self, grid, classes)


class CNNHead(nn.Module):
    """Maps of a grid -> logits (N, classes)."""

    def __init__(self, config: CNN, grid: Grid, classes: int) -> None:
        super().__init__()
        self.grid = grid
        channels = [shape[0] for shape in grid.shapes] * grid.levels
        self.trunks = nn.ModuleList([_trunk(width, config.widths) for width in channels])
        self.out = nn.Linear(len(channels) * config.widths[-1], classes)

    def forward(self, maps: Maps) -> Tensor:
        """Logits, (N, classes)."""
        self.grid.check(maps)
        every = [x for level in maps for x in level]
        means = [trunk(x).mean(dim=(2, 3)) for trunk, x in zip(self.trunks, every, strict=True)]
        logits: Tensor = self.out(torch.cat(means, dim=1))
        return logits


def _trunk(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.BatchNorm2d(channels, affine=False)]
    for narrow, wide in pairwise((channels, *widths)):
        layers += [nn.Conv2d(narrow, wide, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
    return nn.Sequential(*layers)
