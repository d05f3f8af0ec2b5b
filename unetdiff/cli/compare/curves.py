"""Distances to real images over the network calls that an image takes: a line for each way to sample each model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unetdiff.cli.compare.comparison import Comparison, JudgedRow
from unetdiff.cli.figure import Picture
from unetdiff.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_curves"]

DISTANCES = ("Frechet distance", "kernel distance")
PANEL = (6.4, 4.4)


def draw_curves(path: Path, comparison: Comparison) -> str | None:
    """Draw them; or say why there is nothing to draw, without writing a file."""
    distances = [name for name in DISTANCES if name in comparison.rows[0].measures("images")]
    if not distances:
        return "no curves: no distance was measured"
    if len({_calls(row) for row in comparison.rows}) == 1:
        return "no curves: all rows take the same number of network calls"
    try:
        picture = Picture(path)
    except InputError as error:
        return f"no curves: {error}"
    with picture.panels(len(distances), PANEL) as panels:
        for axes, name in zip(panels, distances, strict=True):
            _draw(axes, name, comparison)
    return None


def _draw(axes: "Axes", name: str, comparison: Comparison) -> None:
    lines = _lines(comparison)
    for title, rows in lines.items():
        measures = [row.measures("images")[name] for row in rows]
        ends = [(measure.value, measure.interval) for measure in measures]
        lows = [0.0 if interval is None else max(0.0, value - interval.low) for value, interval in ends]
        highs = [0.0 if interval is None else max(0.0, interval.high - value) for value, interval in ends]
        values = [value for value, _ in ends]
        axes.errorbar([_calls(row) for row in rows], values, (lows, highs), marker="o", capsize=2, label=title)
    if name in comparison.floors:
        axes.axhline(comparison.floors[name], color="grey", linestyle="--", label="real images")
    axes.set(title=name, xlabel="network calls per image", xscale="log")
    calls = sorted({_calls(row) for row in comparison.rows})
    axes.set_xticks(calls, [str(count) for count in calls])
    axes.minorticks_off()
    axes.legend()


def _lines(comparison: Comparison) -> Mapping[str, Sequence[JudgedRow]]:
    """Rows by the line that they are on; its name begins with the sampler, since one with _ would not be shown."""
    lines: dict[str, list[JudgedRow]] = {}
    for row in comparison.rows:
        sampler, _, skip, guidance = row.row.setting.cells
        title = f"{sampler}, skip {skip}, guidance {guidance}, {row.row.model}".replace("$", r"\$")
        lines.setdefault(title, []).append(row)
    return {title: sorted(rows, key=_calls) for title, rows in lines.items()}


def _calls(row: JudgedRow) -> int:
    return row.row.made.method.calls
