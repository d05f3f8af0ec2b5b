"""What was found, as a table on the screen and as CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path

from unetdiff.atomic import replacing
from unetdiff.evaluation.judges.judge import Measure
from unetdiff.model_info import JSON
from unetdiff.tables import table

__all__ = ["as_facts", "as_table", "number_text", "spread_text", "write_csv"]

COLUMNS = ("measure", "value", "low", "high", "deviation", "floor")


def as_table(measures: Sequence[Measure]) -> str:
    """A row for each measure."""
    rows = [
        [measure.name, number_text(measure, measure.value), spread_text(measure), number_text(measure, measure.floor)]
        for measure in measures
    ]
    return table([["measure", "value", "95% interval", "floor"], *rows], left_aligned=[0])


def as_facts(measures: Sequence[Measure]) -> list[dict[str, JSON]]:
    """The same numbers, not rounded."""
    return [dict(zip(COLUMNS, _numbers(measure), strict=True)) for measure in measures]


def write_csv(path: Path, measures: Sequence[Measure]) -> None:
    """A line for each measure; what a measure has not is empty."""
    with replacing(path) as staged, staged.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        lines.writerows(_numbers(measure) for measure in measures)


def _numbers(measure: Measure) -> tuple[str | float | None, ...]:
    ends = (None, None) if measure.interval is None else (measure.interval.low, measure.interval.high)
    return measure.name, measure.value, *ends, measure.deviation, measure.floor


def spread_text(measure: Measure) -> str:
    """The interval, or the deviation, as it is printed."""
    if measure.deviation is not None:
        return f"+- {number_text(measure, measure.deviation)}"
    interval = measure.interval
    return "" if interval is None else f"{number_text(measure, interval.low)} to {number_text(measure, interval.high)}"


def number_text(measure: Measure, number: float | None) -> str:
    """A number of the measure's kind, as it is printed."""
    if number is None:
        return ""
    return f"{number:.1%}" if measure.form == "share" else f"{number:.4g}"
