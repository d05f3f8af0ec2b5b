"""Multi-head attention on tokens, and the self-attention over image positions that stands behind residual blocks."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from unetdiff.nn.init import zero_
from unetdiff.nn.taps import Tap, tapped

__all__ = ["Attention", "SpatialAttention"]


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d)) v in `heads` heads, of x on `context` (or on itself); d is channels / heads if not said.

    Shapes: x (N, L, channels), context (N, M, context_channels), bias (N, 1, 1, M) or None -> (N, L, channels).
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        context_channels: int | None = None,
        projection_bias: bool = False,
        head_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        inside = channels if head_channels is None else heads * head_channels
        context_channels = channels if context_channels is None else context_channels
        self.to_q = nn.Linear(channels, inside, bias=projection_bias)
        self.to_k = nn.Linear(context_channels, inside, bias=projection_bias)
        self.to_v = nn.Linear(context_channels, inside, bias=projection_bias)
        self.to_out = nn.ModuleList([nn.Linear(inside, channels)])  # a list in diffusers' names

    def forward(
        self, x: Tensor, context: Tensor | None = None, bias: Tensor | None = None, tap: Tap | None = None
    ) -> Tensor:
        context = x if context is None else context
        projections = (self.to_q(x), self.to_k(context), self.to_v(context))
        q, k, v = (rearrange(tokens, "n l (h d) -> n h l d", h=self.heads) for tokens in projections)
        attended = None if tap is None else _with_edited_probabilities(q, k, v, bias, tap)
        if attended is None:
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out: Tensor = self.to_out[0](rearrange(attended, "n h l d -> n l (h d)"))
        return out


class SpatialAttention(Attention):
    """Self-attention over positions with a residual, zero at the start: (N, C, H, W) -> the same.

    A GroupNorm of `groups` comes first, or none where that is 0.
    """

    _from_deprecated_attn_block = True  # diffusers then renames query, key, value and proj_attn of old checkpoints

    def __init__(
        self, channels: int, heads: int, head_channels: int, groups: int, eps: float, residual_scale: float
    ) -> None:
        super().__init__(channels, heads, projection_bias=True, head_channels=head_channels)
        self.group_norm: nn.Module = nn.GroupNorm(groups, channels, eps) if groups > 0 else nn.Identity()
        self.residual_scale = residual_scale
        zero_(self.to_out[0])

    def forward(self, x: Tensor, tap: Tap | None = None) -> Tensor:  # type: ignore[override]  # an image for tokens
        tokens = rearrange(self.group_norm(x), "n c h w -> n (h w) c")
        attended = rearrange(super().forward(tokens, tap=tap), "n (h w) c -> n c h w", h=x.shape[2])
        attended = tapped(tap, "residual", attended)
        return (x + attended) * self.residual_scale if self.residual_scale != 1 else x + attended


def _with_edited_probabilities(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, tap: Tap) -> Tensor | None:
    """P v, where the tap changes P = softmax(q k^T / sqrt(d) + bias), (N, heads, L, M); else None.

    Fused attention, which does not give P, computes what P does not change: reading it changes no bit of the result.
    """
    if not tap.wants("probabilities"):
        return None
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    probabilities = torch.softmax(logits if bias is None else logits + bias, dim=-1)
    edited = tap("probabilities", probabilities)
    return None if torch.equal(edited, probabilities) else edited @ v
