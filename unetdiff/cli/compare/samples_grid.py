"""Images side by side: a column for each row of the comparison, a line for each seed, small enough for a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from unetdiff.cli.compare.comparison import Comparison, JudgedRow
from unetdiff.pictures import from_pixels

__all__ = ["SamplesGrid"]

LARGEST = 160  # pixels


@dataclass(frozen=True, kw_only=True)
class SamplesGrid:
    """PNG files: `columns` of as many pictures as there are `lines`; what each line shows."""

    lines: Sequence[str]
    columns: Sequence[Sequence[bytes]]

    @classmethod
    def of(cls, comparison: Comparison, count: int) -> "SamplesGrid":
        """The first `count` images of every row, or all where there are fewer."""
        first = comparison.rows[0]
        wanted = first.row.made.wanted[:count]
        named = zip(wanted, first.candidates.shown, strict=False)
        lines = [f"seed {sample.seed}" + ("" if name is None else f", {name}") for sample, name in named]
        return cls(lines=lines, columns=[_column(row, len(lines)) for row in comparison.rows])


def _column(row: JudgedRow, count: int) -> list[bytes]:
    levels = row.candidates.images.levels(np.arange(count))
    return [_png(pixels) for pixels in levels.transpose(0, 2, 3, 1)]


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    picture = from_pixels(pixels)
    picture.thumbnail((LARGEST, LARGEST))
    file = BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()
