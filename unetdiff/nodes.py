"""The network as rows: one node for each operation on the feature map, in the order of computation.

A node's name is its submodule's path, the prefix of its parameters in the state dict, and the name of its feature map
and of its skip connection. Names are those of diffusers' U-Nets.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from unetdiff.config import AttentionConfig, UNetConfig
    from unetdiff.removal import Removal

__all__ = ["Node", "layout"]

Kind = Literal["conv", "resnet", "attention", "transformer", "downsample", "input_residual", "upsample", "norm"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operation on the feature map. `stride` is its output's; attention nodes carry their settings and layers.

    `residual_from` names the feature map that an `input_residual` node adds (`sample` is the network's input) and
    `residual_channels` is its width. `removed` says how a node was taken out; a stub computes it then.
    `inside` is the number of channels or heads inside of a residual block or attention that was made narrower.
    """

    name: str
    kind: Kind
    level: int
    in_channels: int
    out_channels: int
    stride: int
    skip_channels: int = 0
    skip_from: str | None = None
    attention: "AttentionConfig | None" = None
    layers: int = 0
    residual_from: str | None = None
    residual_channels: int = 0
    removed: "Removal | None" = None
    inside: int | None = None


def layout(config: "UNetConfig") -> tuple[Node, ...]:
    """All nodes of a network, from `conv_in` to `conv_out`."""
    encoder = list(_encoder(config))
    nodes = (*encoder, *_middle(config), *_decoder(config, encoder), *_output(config))
    removed, widths = config.removed, config.widths
    return tuple(
        dataclasses.replace(node, removed=removed.get(node.name), inside=widths.get(node.name)) for node in nodes
    )


def _encoder(config: "UNetConfig") -> Iterator[Node]:
    width = config.levels[0].channels if config.stem_channels is None else config.stem_channels
    yield Node(name="conv_in", kind="conv", level=0, in_channels=config.in_channels, out_channels=width, stride=1)
    source, source_width = "sample", config.in_channels
    for index, level in enumerate(config.levels):
        prefix, stride = f"down_blocks.{index}", 2**index
        if config.input_residual and index > 0:
            node = _same(f"{prefix}.input_residual", "input_residual", level=index, channels=width, stride=stride)
            yield dataclasses.replace(node, residual_from=source, residual_channels=source_width)
            source, source_width = node.name, width
        for block, layers in enumerate(level.layers("down")):
            yield Node(
                name=f"{prefix}.resnets.{block}",
                kind="resnet",
                level=index,
                in_channels=width,
                out_channels=level.channels,
                stride=stride,
            )
            width = level.channels
            yield from _attention(f"{prefix}.attentions.{block}", index, width, level.attention, layers)
        if index < len(config.levels) - 1:
            name = f"{prefix}.downsamplers.0"
            yield _same(name, "downsample", level=index, channels=width, stride=2 * stride)


def _middle(config: "UNetConfig") -> Iterator[Node]:
    if config.mid is None:
        return
    index, level = len(config.levels) - 1, config.levels[-1]
    yield _same("mid_block.resnets.0", "resnet", level=index, channels=level.channels, stride=config.stride)
    for block in range(config.mid.depth):
        attention = config.mid.attention
        layers = 0 if attention is None else attention.layers
        yield from _attention(f"mid_block.attentions.{block}", index, level.channels, attention, layers)
        name = f"mid_block.resnets.{block + 1}"
        yield _same(name, "resnet", level=index, channels=level.channels, stride=config.stride)


def _decoder(config: "UNetConfig", encoder: list[Node]) -> Iterator[Node]:
    skips = _skip_sources(encoder)
    width = config.levels[-1].channels
    for position, (index, level) in enumerate(reversed(list(enumerate(config.levels)))):
        prefix, stride = f"up_blocks.{position}", 2**index
        for block, layers in enumerate(level.layers("up")):
            source = skips.pop()
            yield Node(
                name=f"{prefix}.resnets.{block}",
                kind="resnet",
                level=index,
                in_channels=width,
                out_channels=level.channels,
                stride=stride,
                skip_channels=source.out_channels,
                skip_from=source.name,
            )
            width = level.channels
            yield from _attention(f"{prefix}.attentions.{block}", index, width, level.attention, layers)
        if index > 0:
            yield _same(f"{prefix}.upsamplers.0", "upsample", level=index, channels=width, stride=stride // 2)


def _output(config: "UNetConfig") -> Iterator[Node]:
    width = config.levels[0].channels
    yield _same("conv_norm_out", "norm", level=0, channels=width, stride=1)
    yield Node(name="conv_out", kind="conv", level=0, in_channels=width, out_channels=config.out_channels, stride=1)


def _same(name: str, kind: Kind, *, level: int, channels: int, stride: int) -> Node:
    return Node(name=name, kind=kind, level=level, in_channels=channels, out_channels=channels, stride=stride)


def _attention(name: str, level: int, width: int, config: "AttentionConfig | None", layers: int) -> Iterator[Node]:
    """The attention node behind a residual block: none where `layers` is 0."""
    if config is not None and layers > 0:
        node = _same(name, config.kind, level=level, channels=width, stride=2**level)
        yield dataclasses.replace(node, attention=config, layers=layers)


def _skip_sources(encoder: list[Node]) -> list[Node]:
    """The nodes whose outputs the decoder takes: `conv_in`, downsamplers, units of residual block and attention.

    A residual block that attention follows is not the end of its unit, so its own output is not a skip; nor is that of
    a downsampler that the input joins.
    """
    followers = [*encoder[1:], None]
    return [
        node
        for node, after in zip(encoder, followers, strict=True)
        if after is None or after.kind not in ("attention", "transformer", "input_residual")
    ]
