"""How wide the inside of a network's parts is: width pruning, as data.

What a part takes and gives keeps its width, so every sum and every skip still fits. Inside it goes what only the part
itself sees, in units:

    residual block    conv1's output, norm2 and conv2's input: channels, a group of norm2 at a time
    attention         heads, which keep their width (`attentions.0`; in a transformer `attn1`, `attn2`)
    feed-forward      the width between its two layers (`ff`)

A norm shares its statistics within a group: without one of its channels, those that stay would change. So a group goes
as a whole, and the others keep theirs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unetdiff.nodes import Node
from unetdiff.plain import require
from unetdiff.removal import within

if TYPE_CHECKING:
    from unetdiff.config import UNetConfig

__all__ = ["FEED_FORWARD_EXPANSION", "Inside", "narrowable", "require_narrowable"]

FEED_FORWARD_EXPANSION = 4
"""Width of a transformer's feed-forward layers, as a multiple of the transformer's."""


@dataclass(frozen=True, kw_only=True)
class Inside:
    """The inside of a part: `width` channels or heads of the whole network, `step` of which come and go as one."""

    width: int
    step: int = 1


def narrowable(config: "UNetConfig") -> dict[str, Inside]:
    """What can be narrower inside, by its name, in the order of computation; nothing that was taken out."""
    return {
        name: inside
        for node in config.nodes()
        for name, inside in _of_node(node, config)
        if node.removed is None and name not in config.removed
    }


def require_narrowable(config: "UNetConfig") -> None:
    """Raise ValueError for a width of something that has no inside, or one that it cannot have."""
    if not config.widths:
        return
    parts = narrowable(config)
    for name, width in config.widths.items():
        require(name in parts, "widths", "names of residual blocks, attention and feed-forward layers", name)
        whole, step = parts[name].width, parts[name].step
        fits = 0 < width < whole and width % step == 0
        require(fits, f"widths.{name}", f"a multiple of {step} below {whole}", width)


def _of_node(node: Node, config: "UNetConfig") -> Iterator[tuple[str, Inside]]:
    width = node.out_channels
    if node.kind == "resnet" or _resamples_in_a_block(node, config):
        yield node.name, Inside(width=width, step=width // config.resnet.groups(width))
    elif node.attention is not None:
        heads = Inside(width=node.attention.heads_for(width))
        if node.kind == "attention":
            yield node.name, heads
            return
        layers = {"attn1": heads, "attn2": heads, "ff": Inside(width=FEED_FORWARD_EXPANSION * width)}
        if config.cross_attention_dim is None:
            del layers["attn2"]
        gone = within(config.removed, f"{node.name}.transformer_blocks")
        for index in (str(index) for index in range(node.layers)):
            if index not in gone:
                yield from ((f"{node.name}.transformer_blocks.{index}.{name}", layers[name]) for name in layers)


def _resamples_in_a_block(node: Node, config: "UNetConfig") -> bool:
    if node.kind == "downsample":
        return config.downsample_at(node.level) == "resnet"
    return node.kind == "upsample" and config.upsample_at(node.level) == "resnet"
