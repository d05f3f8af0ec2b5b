"""The numbers before and after: for a program, for a reader, and for the screen."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unetdiff.atomic import replacing
from unetdiff.cli.compress.judging import Distances, Measured
from unetdiff.plain import from_plain, to_plain
from unetdiff.tables import in_thousands, table
from unetdiff.weight_source import read_json

__all__ = ["Report", "Row"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A network: what it costs, and how far its output is from the teacher's on the calibration set."""

    parameters: int
    macs: int
    milliseconds: float
    output_loss: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """Networks by name, and distances of as many generated `images` each, where a classifier fits the model.

    `batch`: images that the milliseconds are for. `removed`: how many parts.
    """

    removed: int
    batch: int
    images: int
    networks: Mapping[str, Row]
    distances: Mapping[str, Distances]

    @classmethod
    def read(cls, path: Path) -> "Report":
        """What `write` wrote."""
        return from_plain(cls, read_json(path))

    def write(self, path: Path) -> None:
        """As JSON."""
        with replacing(path) as staged:
            staged.write_text(json.dumps(to_plain(self), indent=2) + "\n", encoding="utf-8")

    def write_table(self, path: Path, picture: str) -> None:
        """As Markdown, with the picture of that name."""
        heading, *rows = (f"| {' | '.join(cells)} |" for cells in self._cells())
        lines = [heading, "|---" * len(self._cells()[0]) + "|", *rows, "", self._notes(), "", f"![Samples]({picture})"]
        with replacing(path) as staged:
            staged.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def text(self) -> str:
        """A table, and what its numbers are of."""
        return f"{table(self._cells(), left_aligned=(0,))}\n{self._notes()}"

    def _cells(self) -> list[Sequence[str]]:
        distances = ("Frechet distance", "kernel distance") if self.distances else ()
        heading = ("", "parameters", "MACs", "ms", "output loss", *distances)
        names = [*self.networks, *(name for name in self.distances if name not in self.networks)]
        return [heading, *((name, *self._costs(name), *self._distances(name)) for name in names)]

    def _costs(self, name: str) -> tuple[str, ...]:
        if name not in self.networks:
            return ("",) * 4
        row = self.networks[name]
        costs = in_thousands(row.parameters), in_thousands(row.macs), f"{row.milliseconds:.1f}"
        return (*costs, f"{row.output_loss:.4g}")

    def _distances(self, name: str) -> tuple[str, ...]:
        if name not in self.distances:
            return ()
        return tuple(map(_with_error, (self.distances[name].frechet, self.distances[name].kernel)))

    def _notes(self) -> str:
        of = f"{self.removed} parts are removed. Milliseconds are for {self.batch} images, MACs for one; the output "
        of += "loss is the mean squared difference to the teacher's output on the calibration set."
        if not self.distances:
            return f"{of} There is no classifier for images of this model, so no distance to real ones."
        return (
            f"{of} Distances are of {self.images} generated images, of the same seeds, to the real ones of the test "
            "part in the features of a classifier, +- a standard error; real: of as many real ones of training."
        )


def _with_error(measured: Measured) -> str:
    return f"{measured.value:.4g} +- {measured.standard_error:.2g}"
