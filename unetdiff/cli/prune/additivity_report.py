"""Additivity as a table and a picture: the sum of scores of random sets of parts against their joint output loss."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from unetdiff.atomic import replacing
from unetdiff.cli.figure import Picture
from unetdiff.prune.additivity import Additivity
from unetdiff.tables import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["AdditivityReport"]


class AdditivityReport:
    """Of one criterion."""

    def __init__(self, additivity: Additivity, criterion: str) -> None:
        self._additivity, self._criterion = additivity, criterion

    def text(self) -> str:
        """Correlations by size and of all sets."""
        groups = {str(size): self._additivity.of_size(size) for size in self._additivity.sizes}
        rows = [
            (size, str(len(group.subsets)), f"{group.pearson:.3f}", f"{group.spearman:.3f}", f"{group.ratio:.2f}")
            for size, group in {**groups, "all": self._additivity}.items()
        ]
        return table([("parts removed", "sets", "Pearson", "Spearman", "joint / sum"), *rows])

    def write(self, path: Path) -> None:
        """A row for each set."""
        with replacing(path) as staged, staged.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("parts", "sum_of_scores", "joint_output_loss"))
            writer.writerows((s.size, f"{s.summed:.6g}", f"{s.joint:.6g}") for s in self._additivity.subsets)

    def draw(self, picture: Picture) -> None:
        """A point for each set, a colour for each size."""
        with picture.panels(1) as (axes,):
            self._draw(axes)

    def _draw(self, axes: "Axes") -> None:
        for size in self._additivity.sizes:
            subsets = self._additivity.of_size(size).subsets
            summed, joint = [subset.summed for subset in subsets], [subset.joint for subset in subsets]
            axes.scatter(summed, joint, s=14, label=f"{size} parts")
        axes.set(xscale="log", yscale="log", xlabel=f"sum of scores ({self._criterion})", ylabel="joint output loss")
        axes.set_title(f"Pearson {self._additivity.pearson:.2f}, Spearman {self._additivity.spearman:.2f}")
        if self._criterion == "output-loss":
            ends = [end(subset.summed for subset in self._additivity.subsets) for end in (min, max)]
            axes.plot(ends, ends, color="gray", linewidth=0.8, label="equal")
        axes.legend()
