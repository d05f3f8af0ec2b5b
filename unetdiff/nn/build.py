"""From a node to its module, and from named modules to the tree whose paths are those names."""

import dataclasses
from collections.abc import Mapping

from torch import nn

from unetdiff.config import ResnetConfig, UNetConfig
from unetdiff.nn.attention import SpatialAttention
from unetdiff.nn.init import zero_
from unetdiff.nn.resample import Downsample, InputResidual, Upsample
from unetdiff.nn.resnet import ResnetBlock
from unetdiff.nn.stub import Stub
from unetdiff.nn.transformer import Transformer
from unetdiff.nodes import Node
from unetdiff.removal import within

__all__ = ["build_node", "tree"]


def build_node(node: Node, config: UNetConfig) -> nn.Module:
    """The module that computes a node."""
    width = node.out_channels
    if node.removed is not None:
        return _stub(node, config)
    match node.kind:
        case "conv":
            return _edge(node)
        case "norm":
            return nn.GroupNorm(config.resnet.groups(width), width, config.resnet.norm_eps)
        case "resnet":
            return _resnet(node, config)
        case "attention" | "transformer":
            return _attention(node, config)
        case "downsample":
            return _downsample(node, config)
        case "input_residual":
            return InputResidual(node.residual_channels, width, config.resnet.resample_filter)
        case "upsample":
            return _upsample(node, config)


def _stub(node: Node, config: UNetConfig) -> Stub:
    scale = _settings(node, config).residual_scale if node.removed == "zero" else 1.0
    return Stub(node.in_channels + node.skip_channels, node.out_channels, scale)


def _resnet(node: Node, config: UNetConfig) -> ResnetBlock:
    width_in = node.in_channels + node.skip_channels
    settings = _settings(node, config)
    return ResnetBlock(width_in, node.out_channels, config.embedding_channels, settings, inside=node.inside)


def _downsample(node: Node, config: UNetConfig) -> nn.Module:
    width, kind = node.out_channels, config.downsample_at(node.level)
    if kind == "resnet":
        return ResnetBlock(width, width, config.embedding_channels, config.resnet, "down", node.inside)
    return Downsample(width, kind, config.downsample_padding)


def _upsample(node: Node, config: UNetConfig) -> nn.Module:
    width, kind = node.out_channels, config.upsample_at(node.level)
    if kind == "resnet":
        return ResnetBlock(width, width, config.embedding_channels, config.resnet, "up", node.inside)
    return Upsample(width, kind)


def _settings(node: Node, config: UNetConfig) -> ResnetConfig:
    """Those of the residual blocks, with the middle's own scale."""
    scale = config.mid.residual_scale if config.mid is not None and node.name.startswith("mid_block.") else None
    return config.resnet if scale is None else dataclasses.replace(config.resnet, residual_scale=scale)


def _edge(node: Node) -> nn.Conv2d:
    """`conv_in` or `conv_out`; the latter starts at zero."""
    conv = nn.Conv2d(node.in_channels, node.out_channels, 3, padding=1)
    if node.name == "conv_out":
        zero_(conv)
    return conv


def _attention(node: Node, config: UNetConfig) -> nn.Module:
    assert node.attention is not None
    width, heads = node.out_channels, node.attention.heads_for(node.out_channels)
    settings = _settings(node, config)
    groups = settings.groups(width) if node.attention.norm_groups is None else node.attention.norm_groups
    if node.kind == "attention":
        kept = heads if node.inside is None else node.inside
        return SpatialAttention(width, kept, width // heads, groups, settings.norm_eps, settings.residual_scale)
    return Transformer(
        width,
        heads,
        node.layers,
        groups,
        context_channels=config.cross_attention_dim,
        linear_projection=node.attention.linear_projection,
        dropout=settings.dropout,
        only_cross=node.attention.only_cross,
        removed=within(config.removed, f"{node.name}.transformer_blocks"),
        widths=within(config.widths, f"{node.name}.transformer_blocks"),
    )


def tree(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Nest modules by the parts of their dotted names; numbered parts become lists, gaps in them empty modules."""
    groups: dict[str, dict[str, nn.Module]] = {}
    leaves: dict[str, nn.Module] = {}
    for name, module in modules.items():
        head, _, rest = name.partition(".")
        if rest:
            groups.setdefault(head, {})[rest] = module
        else:
            leaves[head] = module
    return {**{head: _container(tree(members)) for head, members in groups.items()}, **leaves}


def _container(members: Mapping[str, nn.Module]) -> nn.Module:
    if all(name.isdigit() for name in members):
        count = 1 + max(int(name) for name in members)
        return nn.ModuleList([members.get(str(index), nn.Identity()) for index in range(count)])
    return nn.ModuleDict(members)
