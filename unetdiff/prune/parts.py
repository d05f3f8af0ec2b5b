"""The parts of a network that pruning chooses among, and what is left of a node without one of them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from unetdiff.nn.build import build_node
from unetdiff.nodes import Node
from unetdiff.removal import Removal, also_removed, removable
from unetdiff.unet import UNet

__all__ = ["Granularity", "Part", "canonical", "parts_of"]

Granularity = Literal["nodes", "blocks", "layers"]
"""What of a transformer is a part: all of it, each of its blocks, or the attn1, attn2 and ff of each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """A part of a node, or all of it, with the way that it goes; `left` computes the node without it."""

    name: str
    way: Removal
    node: str
    left: nn.Module

    @property
    def place(self) -> str:
        """Where in its node it is; empty where it is the node."""
        return self.name.removeprefix(self.node).removeprefix(".")

    def gone(self, unet: UNet) -> list[nn.Parameter]:
        """The parameters that the network has not without it."""
        remaining = {name for name, _ in self.left.named_parameters()}
        own = unet.get_submodule(self.node).named_parameters()
        return [parameter for name, parameter in own if name not in remaining]


def parts_of(unet: UNet, granularity: Granularity = "blocks", zero: bool = False) -> tuple[Part, ...]:
    """All that can still be taken out of a network, in the order of computation; no part lies in another.

    Args:
        unet: the network, maybe pruned before; parts share its tensors.
        granularity: what of a transformer is a part; the last block of one goes with its projections.
        zero: keep the factor on the sum (EDM's `residual_scale`) where an `identity` or `shortcut` would drop it.
    """
    found = removable(unet.nodes, cross_attention=unet.config.cross_attention_dim is not None)
    ways: dict[str, Removal] = {name: "zero" if zero and "zero" in ways else ways[0] for name, ways in found.items()}
    return tuple(
        Part(name=name, way=ways[name], node=node.name, left=_left(unet, node.name, name, ways[name]))
        for node in unet.nodes
        if node.name in ways and node.removed is None
        for name in _names(node, [name for name in ways if _inside(name, node.name)], unet.config.removed, granularity)
    )


def canonical(removed: Mapping[str, Removal], nodes: Sequence[Node], cross_attention: bool) -> dict[str, Removal]:
    """The same without what is left of no use: a block without layers, and a transformer without blocks, are gone.

    A block without layers computes nothing. The projections of a transformer without blocks do, but little for what
    they cost.
    """
    result = dict(removed)
    insides: dict[str, list[str]] = defaultdict(list)
    for name in removable(nodes, cross_attention):  # insides come first
        whole = name.rpartition(".")[0].removesuffix(".transformer_blocks")
        insides[whole].append(name)
        if insides[name] and all(inside in result for inside in insides[name]):
            result = also_removed(result, {name: "identity"})
    return result


def _names(
    node: Node, insides: Sequence[str], removed: Mapping[str, Removal], granularity: Granularity
) -> Iterator[str]:
    """Of the parts of a node, those of this size; `insides` are what lies in it, by blocks and layers."""
    blocks = [name for name in insides if name.rpartition(".")[2].isdigit() and name not in removed]
    if granularity == "layers" and blocks:
        layers = [name for name in insides if name.rpartition(".")[0] in blocks and name not in removed]
        yield from layers
    elif granularity == "blocks" and len(blocks) > 1:
        yield from blocks
    else:
        yield node.name


def _inside(name: str, node: str) -> bool:
    return name.startswith(f"{node}.")


def _left(unet: UNet, node: str, name: str, way: Removal) -> nn.Module:
    """The module of the node in a network without this part, with the tensors of this one."""
    config = unet.config.without({name: way})
    with torch.device("meta"):
        left = build_node(next(other for other in config.nodes() if other.name == node), config)
    tensors = unet.get_submodule(node).state_dict()
    left.load_state_dict({key: tensors[key] for key in left.state_dict()}, assign=True)
    return left.train(unet.training)
