"""What a head reads: feature maps of several places of a network, each at several noise levels."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from unetdiff.errors import InputError
from unetdiff.plain import require

__all__ = ["Grid", "Maps", "Shape"]

Shape = tuple[int, int, int]
"""Channels, height and width of a feature map; means over positions are maps of one position."""

Maps = Sequence[Sequence[Tensor]]
"""For every noise level, a map (N, C, h, w) of every place."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Maps of `shapes`, one a place, at `levels` noise levels."""

    shapes: tuple[Shape, ...]
    levels: int = 1

    def __post_init__(self) -> None:
        require(bool(self.shapes), "shapes", "at least one place", self.shapes)
        for shape in self.shapes:
            require(len(shape) == 3 and min(shape) > 0, "shapes", "channels, height and width above 0", shape)
        require(self.levels > 0, "levels", "at least one noise level", self.levels)

    def check(self, maps: Maps) -> None:
        """Refuse maps of another grid.

        Raises:
            InputError: names the first that differs.
        """
        if len(maps) != self.levels:
            raise InputError(f"maps: expected those of {self.levels} noise levels, got {len(maps)}")
        for level in maps:
            got = tuple(tuple(map_.shape[1:]) for map_ in level)
            if got != self.shapes:
                raise InputError(f"maps: expected channels, height and width {self.shapes}, got {got}")
