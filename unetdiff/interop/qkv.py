"""Fused projections to queries, keys and values, whose channels each family orders in its own way."""

from typing import Literal

from einops import rearrange
from torch import Tensor

from unetdiff.errors import InputError

__all__ = ["Layout", "split_qkv"]

Layout = Literal["interleaved", "per_head", "stacked"]

_AXES: dict[Layout, str] = {
    "interleaved": "(heads c three) ... -> three (heads c) ...",
    "per_head": "(heads three c) ... -> three (heads c) ...",
    "stacked": "(three heads c) ... -> three (heads c) ...",
}


def split_qkv(weight_or_bias: Tensor, heads: int, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
    """Separate a fused projection into those to q, k and v, each ordered by head.

    Args:
        weight_or_bias: (3C, ...), weight or bias of the fused layer.
        heads: number of heads.
        layout: `interleaved`: q, k, v of one channel after the other (EDM); `per_head`: all of q, then k, then v,
            within each head (guided-diffusion's first attention order); `stacked`: over all heads (its new order).

    Returns:
        Three tensors (C, ...).

    Raises:
        InputError: a first dimension that is no multiple of three times the heads.
    """
    if weight_or_bias.shape[0] % (3 * heads):
        shape = tuple(weight_or_bias.shape)
        raise InputError(f"qkv: expected a multiple of {3 * heads} channels for {heads} heads, got shape {shape}")
    q, k, v = rearrange(weight_or_bias, _AXES[layout], three=3, heads=heads)
    return q, k, v
