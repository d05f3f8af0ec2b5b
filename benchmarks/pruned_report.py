"""Table and picture of `benchmarks.pruned_quality`: networks before and after distillation, by how they were pruned."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unetdiff.cli.figure import Picture
from unetdiff.evaluation.distances import Distance, FrechetDistance, KernelDistance
from unetdiff.evaluation.generated import Rows
from unetdiff.tables import in_thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Facts", "Measured", "Row", "draw", "table"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Of a network: its cost, and the mean squared change of its output."""

    parameters: int
    macs: int
    output_loss: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A network's facts and the features of its images."""

    facts: Facts
    rows: Rows


@dataclass(frozen=True, kw_only=True)
class Row:
    """Networks with `keep` of the parameters that differ in a seed alone, before and after they were taught."""

    keep: float
    label: str
    before: tuple[Measured, ...]
    after: tuple[Measured, ...]

    def __str__(self) -> str:
        if len(self.before) == 1:
            return self.label
        return f"{self.label} ({len(self.before)} seeds, {len(self.after)} taught)"


@dataclass(frozen=True, kw_only=True)
class Number:
    """A measurement with its standard error; of several networks their mean and standard deviation."""

    value: float
    error: float

    @classmethod
    def of(cls, networks: Sequence[Measured], distance: Distance) -> "Number":
        """The distance of one network's images, or of those of several."""
        estimates = [distance(network.rows) for network in networks]
        if len(estimates) > 1:
            return cls.over([estimate.value for estimate in estimates])
        return cls(value=estimates[0].value, error=estimates[0].standard_error)

    @classmethod
    def over(cls, values: Sequence[float]) -> "Number":
        """Of two or more."""
        return cls(value=float(np.mean(values)), error=float(np.std(values, ddof=1)))

    def text(self, scale: int) -> str:
        """A cell of the table."""
        return f"{scale * self.value:.3f} ± {scale * self.error:.3f}"


def table(rows: Sequence[Row], whole: Measured, test: Rows, train: Rows) -> str:
    """A row for each choice in Markdown, above them the whole model, below them as many real training images."""
    distances = (FrechetDistance(test), 1), (KernelDistance(test), 1000)
    floor = Measured(facts=whole.facts, rows=train)
    lines = [
        "| kept | parts chosen by | parameters | MACs | output loss, before | after "
        "| Frechet, before | after | kernel, before | after |",
        "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        f"| 100% | whole model | {_costs([whole])} | | | {_unpaired(whole, distances)} |",
    ]
    for row in rows:
        cells = [_loss(stage) for stage in (row.before, row.after)]
        cells += [_distance(stage, *how) for how in distances for stage in (row.before, row.after)]
        lines.append(f"| {row.keep:.0%} | {row} | {_costs(row.before)} | {' | '.join(cells)} |")
    return "\n".join([*lines, f"| | real training images | | | | | {_unpaired(floor, distances)} |"])


def _costs(networks: Sequence[Measured]) -> str:
    facts = [network.facts for network in networks]
    counts = ([fact.parameters for fact in facts], [fact.macs for fact in facts])
    return " | ".join(in_thousands(float(np.mean(count))) for count in counts)


def _loss(networks: Sequence[Measured]) -> str:
    losses = [network.facts.output_loss for network in networks]
    if len(losses) > 1:
        return Number.over(losses).text(1000)
    return "".join(f"{1000 * loss:.3f}" for loss in losses)


def _distance(networks: Sequence[Measured], distance: Distance, scale: int) -> str:
    return Number.of(networks, distance).text(scale) if networks else ""


def _unpaired(one: Measured, distances: Sequence[tuple[Distance, int]]) -> str:
    return " | ".join(f"{_distance([one], *how)} |" for how in distances)


def draw(rows: Sequence[Row], whole: Measured, test: Rows, path: Path) -> None:
    """Frechet distances: a panel for each share that is kept, and in it both distances of each choice."""
    frechet = FrechetDistance(test)
    keeps = sorted({row.keep for row in rows}, reverse=True)
    with Picture(path).panels(len(keeps), size=(5.6, 3.6)) as panels:
        for panel, keep in zip(panels, keeps, strict=True):
            _draw(panel, [row for row in rows if row.keep == keep][::-1], frechet)
            panel.axvline(frechet(whole.rows).value, color="gray", linestyle="--", linewidth=0.8, label="whole model")
            panel.set(title=f"{1 - keep:.0%} of the parameters removed", xscale="log", xlabel="Frechet distance")
        panels[0].legend(fontsize="small")


def _draw(panel: "Axes", rows: Sequence[Row], distance: Distance) -> None:
    stages = {"pruned": [row.before for row in rows], "distilled": [row.after for row in rows]}
    for (label, networks), colour in zip(stages.items(), ("tab:orange", "tab:blue"), strict=True):
        points = [(height, Number.of(those, distance)) for height, those in enumerate(networks) if those]
        values, errors = [number.value for _, number in points], [number.error for _, number in points]
        panel.errorbar(
            values, [height for height, _ in points], xerr=errors, fmt="o", color=colour, capsize=3, label=label
        )
    panel.set_yticks(range(len(rows)), [str(row) for row in rows])
    panel.grid(axis="y", alpha=0.3)
