"""What of a network can be taken out of it, and what is left in its place: layer pruning, as data.

A part that only adds to its input can go: x + branch(x) becomes x. Names of what remains do not shift.

    identity    its input goes on, and EDM's factor on the sum goes too
    shortcut    the same where the width changes: the 1x1 projection stays
    zero        the branch alone goes: the factor on the sum stays, and so does a projection

Whole nodes can go (residual blocks that do not resample, attention, transformers), single blocks of a transformer, and
their `attn1`, `attn2` and `ff`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeVar

from unetdiff.nodes import Node
from unetdiff.plain import require

__all__ = ["Removal", "also_removed", "lies_in", "removable", "require_removable", "within"]

Removal = Literal["identity", "shortcut", "zero"]

T = TypeVar("T")

IDENTITY: tuple[Removal, ...] = ("identity",)


def removable(nodes: Sequence[Node], cross_attention: bool) -> dict[str, tuple[Removal, ...]]:
    """The ways in which each part can be taken out, by its name, in the order of computation; insides come first."""
    return {name: ways for node in nodes for name, ways in _of_node(node, cross_attention)}


def require_removable(removed: Mapping[str, Removal], nodes: Sequence[Node], cross_attention: bool) -> None:
    """Raise ValueError for a name or a way that does not exist, or one inside of what is gone as a whole."""
    if not removed:
        return
    ways = removable(nodes, cross_attention)
    for name, way in removed.items():
        require(name in ways, "removed", "names of parts that can be taken out", name)
        require(way in ways[name], f"removed.{name}", f"one of {list(ways[name])}", way)
        around = next((other for other in removed if name.startswith(f"{other}.")), None)
        require(around is None, f"removed.{name}", "nothing inside of what is removed", around)


def also_removed(earlier: Mapping[str, Removal], removed: Mapping[str, Removal]) -> dict[str, Removal]:
    """What is gone when more is taken out; the parts of what goes as a whole are gone with it."""
    both = {**earlier, **removed}
    inside = {f"{name}.{part}" for name in removed for part in within(both, name)}
    return {name: way for name, way in both.items() if name not in inside}


def lies_in(name: str, parts: Iterable[str]) -> bool:
    """Whether it is one of the named parts, or inside of one."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def within(parts: Mapping[str, T], part: str) -> dict[str, T]:
    """Those of the named parts that are inside of one, by their names as seen from there."""
    prefix = f"{part}."
    return {name.removeprefix(prefix): value for name, value in parts.items() if name.startswith(prefix)}


def _of_node(node: Node, cross_attention: bool) -> Iterator[tuple[str, tuple[Removal, ...]]]:
    if node.kind == "resnet":
        same = node.in_channels + node.skip_channels == node.out_channels
        yield node.name, ("identity" if same else "shortcut", "zero")
    elif node.kind == "attention":
        yield node.name, ("identity", "zero")
    elif node.kind == "transformer":
        layers = ("attn1", "attn2", "ff") if cross_attention else ("attn1", "ff")
        for block in (f"{node.name}.transformer_blocks.{index}" for index in range(node.layers)):
            yield from ((f"{block}.{layer}", IDENTITY) for layer in layers)
            yield block, IDENTITY
        yield node.name, IDENTITY
