"""Attention over the positions of feature maps, of one place or of several with several noise levels.

The attention head of Mukhopadhyay et al. 2023 (arXiv:2307.08702) and the fusion of their DifFormer (arXiv:2311.17921),
as their code (soumik-kanad/diffssl) has them:

    tokens(x) = conv1x1(layer norm over (C, h, w) of the mean over at most 16 x 16 fields)       each place its own
    z_t       = [CLS] of blocks([CLS, tokens of all places at noise level t])                    one for all t
    logits    = linear([z_t of every noise level])

For one place and one noise level that is the attention head. Tokens of different noise levels do not meet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from unetdiff.nn import attention
from unetdiff.plain import require
from unetdiff.probes.networks.grid import Grid, Maps, Shape

__all__ = ["Attention", "AttentionHead"]


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Sizes of the blocks; left out, those of the papers for the places that they read.

    Attributes:
        width: Of every token; the channels of the widest place when left out.
        heads: Of attention; they divide the width.
        layers: Transformer blocks.
        expansion: Width of their hidden layers, over that of tokens.
        side: Most tokens along a side of a map; larger maps are averaged down to that.
    """

    width: int | None = None
    heads: int = 8
    layers: int = 2
    expansion: int = 4
    side: int = 16

    def __post_init__(self) -> None:
        for field in ("heads", "layers", "expansion", "side"):
            require(getattr(self, field) > 0, field, "at least 1", getattr(self, field))
        require(self.width is None or self.width > 0, "width", "at least 1", self.width)

    def width_for(self, grid: Grid) -> int:
        """The width of tokens of these maps.

        Raises:
            ValueError: `heads` do not divide it.
        """
        width = max(channels for channels, _, _ in grid.shapes) if self.width is None else self.width
        require(width % self.heads == 0, "heads", f"a divisor of the width {width}", self.heads)
        return width

    def build(self, grid: Grid, classes: int) -> "AttentionHead":
        """The network for these maps."""
        return AttentionHead(self, grid, classes)


class AttentionHead(nn.Module):
    """Maps of a grid -> logits (N, classes)."""

    def __init__(self, config: Attention, grid: Grid, classes: int) -> None:
        super().__init__()
        self.grid = grid
        width = config.width_for(grid)
        self.tokens = nn.ModuleList([_Tokens(shape, config.side, width) for shape in grid.shapes])
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        blocks = [_Block(width, config.heads, config.expansion) for _ in range(config.layers)]
        self.blocks = nn.Sequential(*blocks)
        self.out = nn.Linear(grid.levels * width, classes)

    def forward(self, maps: Maps) -> Tensor:
        """Logits, (N, classes)."""
        self.grid.check(maps)
        logits: Tensor = self.out(torch.cat([self._summary(level) for level in maps], dim=1))
        return logits

    def _summary(self, level: Sequence[Tensor]) -> Tensor:
        """What the blocks make of the CLS token beside all tokens of a noise level, (N, width)."""
        cls = self.cls.expand(len(level[0]), -1, -1)
        tokens = [embed(x) for embed, x in zip(self.tokens, level, strict=True)]
        read: Tensor = self.blocks(torch.cat([cls, *tokens], dim=1))
        return read[:, 0]


class _Tokens(nn.Module):
    """A place's maps (N, C, h, w) -> tokens (N, positions, width)."""

    def __init__(self, shape: Shape, side: int, width: int) -> None:
        super().__init__()
        channels, height, wide = shape
        fields = (min(height, side), min(wide, side))
        self.pool = nn.AdaptiveAvgPool2d(fields)
        self.norm = nn.LayerNorm([channels, *fields])
        self.proj = nn.Conv2d(channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        image: Tensor = self.proj(self.norm(self.pool(x)))
        return rearrange(image, "n c h w -> n (h w) c")


class _Block(nn.Module):
    """Pre-norm self-attention and MLP with GELU, each with a residual (Dosovitskiy et al. 2021)."""

    def __init__(self, width: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = attention.Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out
