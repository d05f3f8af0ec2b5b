"""The folder that `unetdiff compress` writes: each stage has a result there, which appears whole or not at all."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["CompressionFolder"]


@dataclass(frozen=True)
class CompressionFolder:
    """Paths below `root`."""

    root: Path

    @property
    def settings(self) -> Path:
        """All that decides what comes out."""
        return self.root / "settings.json"

    @property
    def plan(self) -> Path:
        """What is removed, with the scores."""
        return self.root / "plan.json"

    @property
    def pruned(self) -> Path:
        """A model folder: the student before it has learned anything."""
        return self.root / "pruned"

    @property
    def distilled(self) -> Path:
        """The run folder of the distillation, with its checkpoints."""
        return self.root / "distilled"

    @property
    def model(self) -> Path:
        """The model folder that all is for, with `plan.json` in it."""
        return self.root / "model"

    @property
    def features(self) -> Path:
        """Folder of the features that distances are measured between."""
        return self.root / "features"

    @property
    def picture(self) -> Path:
        """Images of the same seeds, a row for each network."""
        return self.root / "samples.png"

    @property
    def table(self) -> Path:
        """The report for readers."""
        return self.root / "report.md"

    @property
    def report(self) -> Path:
        """The report in numbers, which is written last."""
        return self.root / "report.json"
