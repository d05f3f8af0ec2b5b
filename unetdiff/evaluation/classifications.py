"""What a classifier decided, image by image, in a folder that can go on.

settings.json    what the decisions depend on
images.csv       a row for each image: its label, if it has one, the predicted class, and the loss of every class
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from unetdiff.atomic import replacing
from unetdiff.errors import InputError
from unetdiff.model_info import JSON

__all__ = ["Accuracy", "Classifications", "Decision"]

COLUMNS = ("image", "label", "predicted")


class Decision(NamedTuple):
    """About one image, which is row `image` of the data. `label` is empty where there is none."""

    image: int
    label: str
    predicted: str
    losses: tuple[float, ...]


class Accuracy(NamedTuple):
    """The share of labels that were predicted, with its standard error."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, decisions: Iterable[Decision]) -> "Accuracy | None":
        """Of the images with labels; None without such."""
        right = [decision.label == decision.predicted for decision in decisions if decision.label]
        if not right:
            return None
        share = sum(right) / len(right)
        return cls(share, math.sqrt(share * (1 - share) / len(right)))


@dataclass(frozen=True, kw_only=True)
class Classifications:
    """The folder of decisions between these classes under these settings."""

    folder: Path
    settings: Mapping[str, JSON]
    classes: Sequence[str]

    def begin(self) -> list[Decision]:
        """The decisions that are there; in a new folder none, and the settings are written.

        Raises:
            InputError: a folder of other settings; the message names the first that differs.
        """
        path = self.folder / "settings.json"
        if not path.exists():
            with replacing(path) as staged:
                staged.write_text(json.dumps(self.settings, indent=2) + "\n", encoding="utf-8")
            return []
        there = json.loads(path.read_text(encoding="utf-8"))
        for name, value in self.settings.items():
            if there.get(name) != value:
                raise InputError(f"{self.folder}: {name}: expected {there.get(name)}, as there already, got {value}")
        return self._read()

    def write(self, decisions: Iterable[Decision]) -> None:
        """All decisions so far, in the order of the images."""
        with replacing(self.folder / "images.csv") as staged, staged.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow((*COLUMNS, *(f"loss {name}" for name in self.classes)))
            for decision in sorted(decisions):
                writer.writerow((*decision[:3], *(f"{loss:.7g}" for loss in decision.losses)))

    def _read(self) -> list[Decision]:
        path = self.folder / "images.csv"
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            _, *rows = csv.reader(file)
        return [Decision(int(image), label, name, tuple(map(float, losses))) for image, label, name, *losses in rows]
