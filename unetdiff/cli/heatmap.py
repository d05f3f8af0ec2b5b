"""A table of numbers as a picture: layers by noise levels, or layers by layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unetdiff.cli.figure import Picture
from unetdiff.features.cell import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Heatmap"]

CELL = (0.45, 0.22)  # inches
LETTER = 0.07
MARGIN = (1.4, 0.9)
WRITTEN = 12
"""Columns up to which every number is written into its place."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Heatmap:
    """Numbers (rows, columns), NaN where there is none, and what stands beside them; `marked` gets a frame."""

    values: NDArray[np.float64]
    rows: Sequence[str]
    columns: Sequence[str]
    title: str
    xlabel: str = ""
    marked: tuple[int, int] | None = None

    @classmethod
    def of_cells(cls, table: Mapping[Cell, float], title: str) -> "Heatmap":
        """Taps in the order of the table by rising noise levels; the greatest number is marked."""
        taps = list(dict.fromkeys(cell.tap for cell in table))
        sigmas = sorted({cell.sigma for cell in table})
        best = max(table, key=lambda cell: table[cell])
        return cls(
            values=np.array([[table.get(Cell(tap, sigma), np.nan) for sigma in sigmas] for tap in taps]),
            rows=taps,
            columns=[f"{sigma:g}" for sigma in sigmas],
            title=title,
            xlabel="noise level sigma",
            marked=(taps.index(best.tap), sigmas.index(best.sigma)),
        )

    def write(self, picture: Picture) -> None:
        """Draw it, and nothing else, into a picture of a size that suits it."""
        rows, columns = self.values.shape
        left, below = (LETTER * max(map(len, labels)) for labels in (self.rows, self.columns))
        size = (MARGIN[0] + left + columns * CELL[0], MARGIN[1] + below + rows * CELL[1])
        with picture.panels(1, size) as (axes,):
            self._draw(axes)

    def _draw(self, axes: "Axes") -> None:
        image = axes.imshow(self.values, aspect="auto")
        axes.figure.colorbar(image, ax=axes)
        axes.set_xticks(range(len(self.columns)), self.columns, rotation=90, fontsize=7)
        axes.set_yticks(range(len(self.rows)), self.rows, fontsize=7)
        axes.set(title=self.title, xlabel=self.xlabel)
        if len(self.columns) <= WRITTEN:
            middle = (np.nanmin(self.values) + np.nanmax(self.values)) / 2
            for (row, column), value in np.ndenumerate(self.values):
                text = "" if np.isnan(value) else f"{value:.3f}"
                color = "black" if value > middle else "white"
                axes.text(column, row, text, ha="center", va="center", fontsize=6, color=color)
        if self.marked is not None:
            row, column = self.marked
            frame = (
                [column - 0.5, column + 0.5, column + 0.5, column - 0.5],
                [row - 0.5, row - 0.5, row + 0.5, row + 0.5],
            )
            axes.fill(*frame, fill=False, edgecolor="red", linewidth=2)
