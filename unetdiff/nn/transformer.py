"""The transformer of latent diffusion (Rombach et al. 2022): self-attention, cross-attention, GEGLU feed-forward."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from unetdiff.nn.attention import Attention
from unetdiff.nn.init import zero_
from unetdiff.nn.taps import Tap, inner, tapped
from unetdiff.removal import Removal, within
from unetdiff.widths import FEED_FORWARD_EXPANSION

__all__ = ["FeedForward", "Transformer", "TransformerBlock"]

NOTHING: Mapping[str, Any] = MappingProxyType({})


class GEGLU(nn.Module):
    """a * gelu(b) for (a, b) = linear(x) (Shazeer 2020)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_channels, 2 * out_channels)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        gated: Tensor = value * F.gelu(gate)
        return gated


class FeedForward(nn.Module):
    """GEGLU to the width `inside`, dropout, linear back."""

    def __init__(self, channels: int, inside: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(channels, inside), nn.Dropout(dropout), nn.Linear(inside, channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class TransformerBlock(nn.Module):
    """Pre-norm self-attention, cross-attention if there is a context, feed-forward, each with a residual.

    With `only_cross` the first attention reads the context too, all of it: as in diffusers the mask is not for it.
    Layers that are `removed` (attn1, attn2, ff) are left out, with their norms. `widths` are heads and feed-forward
    channels of layers that have fewer.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        context_channels: int | None,
        dropout: float,
        only_cross: bool = False,
        removed: Mapping[str, Removal] = NOTHING,
        widths: Mapping[str, int] = NOTHING,
    ) -> None:
        super().__init__()
        head_channels = channels // heads
        self.only_cross = only_cross
        self.self_attends = "attn1" not in removed
        self.cross = context_channels is not None and "attn2" not in removed
        self.feeds = "ff" not in removed
        if self.self_attends:
            self.norm1 = nn.LayerNorm(channels)
            read = context_channels if only_cross else None
            self.attn1 = Attention(channels, widths.get("attn1", heads), read, head_channels=head_channels)
        if self.cross:
            self.norm2 = nn.LayerNorm(channels)
            self.attn2 = Attention(channels, widths.get("attn2", heads), context_channels, head_channels=head_channels)
        if self.feeds:
            self.norm3 = nn.LayerNorm(channels)
            self.ff = FeedForward(channels, widths.get("ff", FEED_FORWARD_EXPANSION * channels), dropout)

    def forward(self, x: Tensor, context: Tensor | None, bias: Tensor | None, tap: Tap | None = None) -> Tensor:
        # The branch comes first in each sum: the result takes its layout, while x may be an image's, channels first.
        if self.self_attends:
            h = self.attn1(self.norm1(x), context if self.only_cross else None, tap=inner(tap, "attn1"))
            x = tapped(inner(tap, "attn1"), "", h) + x
        if self.cross:
            h = self.attn2(self.norm2(x), context, bias, tap=inner(tap, "attn2"))
            x = tapped(inner(tap, "attn2"), "", h) + x
        if self.feeds:
            x = tapped(inner(tap, "ff"), "", self.ff(self.norm3(x))) + x
        return tapped(tap, "", x)


class Transformer(nn.Module):
    """`layers` transformer blocks over the positions of an image, between two projections; its output starts at x.

    Shapes: x (N, C, H, W), context (N, M, context_channels) or None, bias (N, 1, 1, M) or None -> (N, C, H, W).
    What is `removed` is named by its block, "0", or by a layer of it, "0.attn1"; the other blocks keep their numbers.
    So are the layers with other `widths`.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        layers: int,
        groups: int,
        context_channels: int | None = None,
        linear_projection: bool = False,
        dropout: float = 0.0,
        only_cross: bool = False,
        removed: Mapping[str, Removal] = NOTHING,
        widths: Mapping[str, int] = NOTHING,
    ) -> None:
        super().__init__()
        self.linear_projection = linear_projection
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels) if linear_projection else nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList()
        for index in map(str, range(layers)):
            inside = within(removed, index), within(widths, index)
            block = TransformerBlock(channels, heads, context_channels, dropout, only_cross, *inside)
            self.transformer_blocks.append(nn.Identity() if index in removed else block)
        self.proj_out = nn.Linear(channels, channels) if linear_projection else nn.Conv2d(channels, channels, 1)
        zero_(self.proj_out)

    def forward(
        self, x: Tensor, context: Tensor | None = None, bias: Tensor | None = None, tap: Tap | None = None
    ) -> Tensor:
        h: Tensor = self.norm(x)
        if self.linear_projection:
            h = self.proj_in(rearrange(h, "n c h w -> n (h w) c"))
        else:
            h = rearrange(self.proj_in(h), "n c h w -> n (h w) c")
        for index, block in enumerate(self.transformer_blocks):
            if isinstance(block, nn.Identity):
                continue
            h = block(h, context, bias, inner(tap, f"transformer_blocks.{index}"))
        if self.linear_projection:
            h = rearrange(self.proj_out(h), "n (h w) c -> n c h w", h=x.shape[2])
        else:
            h = self.proj_out(rearrange(h, "n (h w) c -> n c h w", h=x.shape[2]))
        return x + tapped(tap, "residual", h)
