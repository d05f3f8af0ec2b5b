"""Where the feature maps of a network can be read and changed, as rows that follow from its nodes.

A tap is named after the path of what computes it: `PATH` is the output of a node or of a module inside it,
`PATH:SITE` a place within.

    NODE                     output of the node, what the next one takes (after the SiLU behind conv_norm_out)
    NODE:input               its input, after the skip was joined
    NODE:residual            what it adds to its input (or shortcut), before `residual_scale`
    NODE:probabilities       softmax(q k^T / sqrt(d)) of an attention node
    NODE.transformer_blocks.0                        tokens behind a transformer block; likewise .attn1, .attn2, .ff:
                                                     what these layers add
    NODE.transformer_blocks.0.attn2:probabilities    of its cross-attention: to the tokens of the context
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from unetdiff.config import UNetConfig
from unetdiff.nodes import Node

__all__ = ["Form", "TapPoint", "tap_points"]

Form = Literal["image", "tokens", "probabilities"]
"""(N, channels, H, W), (N, positions, channels), or (N, channels, positions, tokens read) with a channel a head."""


@dataclass(frozen=True, kw_only=True)
class TapPoint:
    """A place in the network: the node that it lies in, and what is read there. `stride` is of its positions."""

    name: str
    node: str
    form: Form
    channels: int
    stride: int


def tap_points(config: UNetConfig, nodes: Sequence[Node]) -> tuple[TapPoint, ...]:
    """All taps of a network, in the order of computation."""
    before = 1
    points: list[TapPoint] = []
    for node in nodes:
        points += _of_node(config, node, before)
        before = node.stride
    return tuple(points)


def _of_node(config: UNetConfig, node: Node, stride_before: int) -> Iterator[TapPoint]:
    width = node.in_channels + node.skip_channels
    yield TapPoint(name=f"{node.name}:input", node=node.name, form="image", channels=width, stride=stride_before)
    if node.attention is not None and node.removed is None:
        yield from _of_attention(config, node)
    if _has_residual(config, node):
        yield _point(node, ":residual", "image", node.out_channels)
    yield _point(node, "", "image", node.out_channels)


def _of_attention(config: UNetConfig, node: Node) -> Iterator[TapPoint]:
    assert node.attention is not None
    heads = node.attention.heads_for(node.out_channels)
    if node.kind == "attention":
        yield _point(node, ":probabilities", "probabilities", node.inside or heads)
        return
    attentions = ("attn1",) if config.cross_attention_dim is None else ("attn1", "attn2")
    for block in (f".transformer_blocks.{index}" for index in range(node.layers)):
        if node.name + block in config.removed:
            continue
        for attention in (name for name in attentions if f"{node.name}{block}.{name}" not in config.removed):
            kept = config.widths.get(f"{node.name}{block}.{attention}", heads)
            yield _point(node, f"{block}.{attention}:probabilities", "probabilities", kept)
            yield _point(node, f"{block}.{attention}", "tokens", node.out_channels)
        if f"{node.name}{block}.ff" not in config.removed:
            yield _point(node, f"{block}.ff", "tokens", node.out_channels)
        yield _point(node, block, "tokens", node.out_channels)


def _has_residual(config: UNetConfig, node: Node) -> bool:
    if node.removed is not None:
        return False
    if node.kind == "downsample":
        return config.downsample_at(node.level) == "resnet"
    if node.kind == "upsample":
        return config.upsample_at(node.level) == "resnet"
    return node.kind in ("resnet", "attention", "transformer")


def _point(node: Node, place: str, form: Form, channels: int) -> TapPoint:
    return TapPoint(name=node.name + place, node=node.name, form=form, channels=channels, stride=node.stride)
