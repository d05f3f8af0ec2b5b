"""The run folder: where everything that a training run writes has its place."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from unetdiff.errors import InputError

__all__ = ["RunFolder"]


@dataclass(frozen=True)
class RunFolder:
    """Paths below `root`."""

    root: Path

    @property
    def config(self) -> Path:
        """Everything that was set: `--config` on it repeats the run, or goes on with it."""
        return self.root / "config.yaml"

    @property
    def metrics(self) -> Path:
        """One JSON object a line."""
        return self.root / "metrics.jsonl"

    @property
    def tracker_run(self) -> Path:
        """The name of the run in its trackers, where it has some."""
        return self.root / "tracker-run.txt"

    @property
    def checkpoints(self) -> Path:
        """Folder of `step-*`."""
        return self.root / "checkpoints"

    @property
    def averages(self) -> Path:
        """Folder of stored averages of the weights, where the configuration asks for them."""
        return self.root / "averages"

    @property
    def nonfinite(self) -> Path:
        """Folder of `step-*` that reproduce where a loss or gradient was not finite; made when one is."""
        return self.root / "nonfinite"

    @property
    def samples(self) -> Path:
        """Folder of preview pictures."""
        return self.root / "samples"

    @property
    def model(self) -> Path:
        """The model folder: the averaged weights as of the last checkpoint."""
        return self.root / "model"

    def prepare(self) -> None:
        """Make the folders, and remove what a killed writer left unfinished.

        Raises:
            InputError: nothing can be written here.
        """
        try:
            for folder in (self.checkpoints, self.samples):
                folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.root, self.checkpoints, self.samples):
                for leftover in folder.glob(".tmp-*"):
                    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            (self.root / ".tmp-writable").touch()
            (self.root / ".tmp-writable").unlink()
        except OSError as error:
            raise InputError(
                f"out: expected a folder that can be written, got {self.root} ({error.strerror})"
            ) from error
