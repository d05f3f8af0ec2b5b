"""From a node to its module, and from named modules to the tree whose paths are those names."""

from collections.abc import Mapping

from torch import nn

from unetdiff.config import UNetConfig
from unetdiff.nn.attention import SpatialAttention
from unetdiff.nn.init import zero_
from unetdiff.nn.resample import Downsample, Upsample
from unetdiff.nn.resnet import ResnetBlock
from unetdiff.nn.transformer import Transformer
from unetdiff.nodes import Node

__all__ = ["build_node", "tree"]


def build_node(node: Node, config: UNetConfig) -> nn.Module:
    """The module that computes a node."""
    width = node.out_channels
    match node.kind:
        case "conv":
            return _edge(node)
        case "norm":
            return nn.GroupNorm(config.resnet.groups(width), width, config.resnet.norm_eps)
        case "resnet":
            return ResnetBlock(node.in_channels + node.skip_channels, width, config.embedding_channels, config.resnet)
        case "attention" | "transformer":
            return _attention(node, config)
        case "downsample":
            if config.downsample == "resnet":
                return ResnetBlock(width, width, config.embedding_channels, config.resnet, resample="down")
            return Downsample(width, config.downsample, config.downsample_padding)
        case "upsample":
            if config.upsample == "resnet":
                return ResnetBlock(width, width, config.embedding_channels, config.resnet, resample="up")
            return Upsample(width, config.upsample)


def _edge(node: Node) -> nn.Conv2d:
    """`conv_in` or `conv_out`; the latter starts at zero."""
    conv = nn.Conv2d(node.in_channels, node.out_channels, 3, padding=1)
    if node.name == "conv_out":
        zero_(conv)
    return conv


def _attention(node: Node, config: UNetConfig) -> nn.Module:
    assert node.attention is not None
    width, heads = node.out_channels, node.attention.heads_for(node.out_channels)
    groups = config.resnet.groups(width)
    if node.kind == "attention":
        return SpatialAttention(width, heads, groups, config.resnet.norm_eps, config.resnet.residual_scale)
    return Transformer(
        width,
        heads,
        node.layers,
        groups,
        context_channels=config.cross_attention_dim,
        linear_projection=node.attention.linear_projection,
        dropout=config.resnet.dropout,
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
