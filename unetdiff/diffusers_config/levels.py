"""What the two U-Net classes of diffusers share: block types by level."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from unetdiff.config import AttentionConfig, LevelConfig
from unetdiff.plain import require

__all__ = ["Block", "LevelBlocks", "attention_layers", "block", "levels", "mirrored"]

Resample = Literal["conv", "resnet"]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block type: whether attention follows its residual blocks, and how it resamples."""

    attention: bool
    resample: Resample


@dataclass(frozen=True, kw_only=True)
class LevelBlocks:
    """The two blocks of a level with the number of attention layers after each of their residual blocks."""

    channels: int
    down: Block
    up: Block
    down_layers: tuple[int, ...]
    up_layers: tuple[int, ...]
    attention: AttentionConfig


def block(table: dict[str, Block], name: str, field: str) -> Block:
    """Look a block type up."""
    require(name in table, field, f"block types among {sorted(table)}", name)
    return table[name]


def levels(blocks: Sequence[LevelBlocks], downsample: Resample, upsample: Resample) -> tuple[LevelConfig, ...]:
    """Levels that name what differs from the network's own `downsample` and `upsample`."""
    last = len(blocks) - 1
    return tuple(
        LevelConfig(
            channels=level.channels,
            depth=len(level.down_layers),
            attention=attention_layers(level.attention, level.down_layers, level.up_layers),
            downsample=None if index == last or level.down.resample == downsample else level.down.resample,
            upsample=None if index == 0 or level.up.resample == upsample else level.up.resample,
        )
        for index, level in enumerate(blocks)
    )


def attention_layers(attention: AttentionConfig, down: tuple[int, ...], up: tuple[int, ...]) -> AttentionConfig | None:
    """The attention of a level, said in the shortest way: nothing, one number, or a number for each block."""
    counts = {*down, *up}
    if counts == {0}:
        return None
    if len(counts) == 1:
        return replace(attention, layers=counts.pop())
    return replace(attention, down_layers=down, up_layers=up)


def mirrored(values: Sequence[object], field: str, count: int) -> None:
    """Check that a list has an entry for each level."""
    require(len(values) == count, field, f"{count} entries, one per level", values)
