"""The folder that `unetdiff compare` writes; a row has its images there, which are not made again."""

import re
from dataclasses import dataclass
from pathlib import Path

from unetdiff.cli.compare.settings import Setting
from unetdiff.cli.method import Method
from unetdiff.cli.sample import settings
from unetdiff.evaluation.generated import content_key

__all__ = ["ComparisonFolder"]


@dataclass(frozen=True)
class ComparisonFolder:
    """Paths below `root`."""

    root: Path

    @property
    def settings(self) -> Path:
        """What all rows have in common."""
        return self.root / "settings.json"

    @property
    def page(self) -> Path:
        """The report with its pictures in it."""
        return self.root / "report.html"

    @property
    def table(self) -> Path:
        """The tables as Markdown."""
        return self.root / "report.md"

    @property
    def report(self) -> Path:
        """The numbers."""
        return self.root / "report.json"

    @property
    def curves(self) -> Path:
        """Distances over network calls."""
        return self.root / "curves.svg"

    def samples(self, model: str, setting: Setting, method: Method) -> Path:
        """The samples folder of a row, another one for other weights and other settings of any kind."""
        words = re.sub(r"[^A-Za-z0-9]+", "-", f"{Path(model).name} {' '.join(setting.cells)}").strip("-")
        return self.root / f"{words}-{content_key(settings(method))}"
