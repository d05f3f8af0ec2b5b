"""The blocks of guided-diffusion's `UNetModel`, as groups of our nodes.

A block is a residual block with the attention behind it, in the decoder also with the upsampler behind that; `conv_in`
and each downsampler are blocks of their own, and so is the middle. CompVis' Stable Diffusion has the same class.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unetdiff.nodes import Node

__all__ = ["Block", "GuidedBlocks", "guided_blocks"]

Block = tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class GuidedBlocks:
    """What that class calls `input_blocks`, `middle_block` and `output_blocks`."""

    input_blocks: tuple[Block, ...]
    middle_block: Block
    output_blocks: tuple[Block, ...]


def guided_blocks(nodes: Sequence[Node]) -> GuidedBlocks:
    """Those of a network."""
    return GuidedBlocks(
        input_blocks=_grouped(node for node in nodes if node.name.startswith(("conv_in", "down_blocks."))),
        middle_block=tuple(node for node in nodes if node.name.startswith("mid_block.")),
        output_blocks=_grouped(node for node in nodes if node.name.startswith("up_blocks.")),
    )


def _grouped(nodes: Iterable[Node]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for node in nodes:
        if node.kind in ("attention", "transformer", "upsample"):
            blocks[-1] += (node,)
        else:
            blocks.append((node,))
    return tuple(blocks)
