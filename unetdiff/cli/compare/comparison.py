"""What was found of every row, and the tables that say it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from unetdiff.cli.compare.rows import Row
from unetdiff.cli.evaluate.judged import Judged
from unetdiff.cli.evaluate.report import number_text, spread_text
from unetdiff.evaluation.judges.judge import Candidates, Measure
from unetdiff.model_info import JSON

__all__ = ["Comparison", "Form", "JudgedRow", "Sheet", "number", "with_interval"]

Form = Callable[[Measure], str]

LABELS = 6


@dataclass(frozen=True, kw_only=True)
class JudgedRow:
    """A row, its images, and what the judges said of them."""

    row: Row
    candidates: Candidates
    judged: Judged

    @classmethod
    def of(cls, row: Row, candidates: Candidates) -> "JudgedRow":
        """Show the images to the judges of the row.

        Raises:
            InputError: images that cannot be judged.
        """
        return cls(row=row, candidates=candidates, judged=Judged.of(row.evaluation, candidates))

    def measures(self, about: Literal["images", "model"]) -> dict[str, Measure]:
        """By name."""
        return {measure.name: measure for measure in self.judged.measures if measure.about == about}

    def facts(self) -> dict[str, JSON]:
        """Those of `unetdiff eval`, and how the model is called."""
        return {"name": self.row.model, "samples": str(self.row.made.out), **self.judged.facts()}


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table of texts; the first `labels` columns say what a row is, the others have numbers."""

    labels: int
    heading: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """At least one row.

    Attributes:
        rows: in the order in which they are shown.
        shared: options of sampling that are the same in all rows and were chosen, by name.
    """

    rows: Sequence[JudgedRow]
    shared: Mapping[str, JSON]

    @property
    def floors(self) -> dict[str, float]:
        """What real images get in place of those judged, by the name of the measure."""
        measures = self.rows[0].measures("images")
        return {name: measure.floor for name, measure in measures.items() if measure.floor is not None}

    @property
    def notes(self) -> list[str]:
        """What was not measured of which model, and why."""
        return list(dict.fromkeys(f"{found.row.model}: {note}" for found in self.rows for note in found.judged.notes))

    def settings(self, form: Form) -> Sheet:
        """How good images are: a line for each row, and one for real images."""
        found = {name: measure for row in self.rows for name, measure in row.measures("images").items()}
        rows = [
            (row.row.model, *row.row.setting.cells, str(row.row.made.method.calls), *_cells(row, "images", found, form))
            for row in self.rows
        ]
        floors = [number_text(measure, self.floors.get(name)) for name, measure in found.items()]
        heading = ("model", "sampler", "steps", "skip", "guidance", "calls", *found)
        blank = [""] * (LABELS - 1)
        return Sheet(labels=LABELS, heading=heading, rows=[*rows, ("real images", *blank, *floors)])

    def models(self, form: Form) -> Sheet:
        """What does not depend on images: for each model a line, and one for the same of its training images."""
        by_model = {row.row.model: row for row in reversed(self.rows)}
        found = {name: measure for row in by_model.values() for name, measure in row.measures("model").items()}
        rows: list[Sequence[str]] = []
        for name, row in reversed(by_model.items()):
            parameters = row.row.made.method.model.denoiser.unet.num_parameters()
            rows.append((name, "held out", f"{parameters:,}", *_cells(row, "model", found, form)))
            rows.append((name, "training", "", *_cells(row, "model", found, _floor)))
        return Sheet(labels=2, heading=("model", "images", "parameters", *found), rows=rows if found else rows[::2])

    def facts(self) -> dict[str, JSON]:
        """All numbers."""
        return {"rows": [row.facts() for row in self.rows], "not_measured": self.notes}


def number(measure: Measure) -> str:
    """A measure without its interval."""
    return number_text(measure, measure.value)


def with_interval(measure: Measure) -> str:
    """A measure with its interval, or its deviation."""
    spread = spread_text(measure)
    return f"{number(measure)} ({spread})" if spread else number(measure)


def _floor(measure: Measure) -> str:
    return number_text(measure, measure.floor)


def _cells(row: JudgedRow, about: Literal["images", "model"], names: Mapping[str, Measure], form: Form) -> list[str]:
    measures = row.measures(about)
    return [form(measures[name]) if name in measures else "" for name in names]
