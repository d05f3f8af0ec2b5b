"""Experiment trackers (TensorBoard, Weights & Biases, Trackio) through accelerate: the records and pictures of a run.

A run that goes on from a checkpoint goes on in the same run of its tracker. TensorBoard drops what was logged after the
checkpoint; the other two keep it, which is the same to the bit where the resume is exact. They know the run by a name
that the run folder keeps.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from accelerate import Accelerator
from accelerate.tracking import get_available_trackers

from unetdiff.atomic import replacing
from unetdiff.errors import InputError
from unetdiff.model_info import JSON
from unetdiff.pictures import read_png
from unetdiff.training.config import TrainConfig
from unetdiff.training.records import Record
from unetdiff.training.run_folder import RunFolder

__all__ = ["Trackers", "require_installed"]


def require_installed(names: Sequence[str]) -> None:
    """Raise InputError where this environment cannot log to one of the trackers: accelerate would leave it out."""
    missing = sorted(set(names) - {str(tracker) for tracker in get_available_trackers()})
    if missing:
        listed = " ".join(missing)
        raise InputError(f"trackers: expected installed ones, got {listed}: `pip install -U accelerate {listed}`")


class Trackers:
    """The trackers of a run that stands at `step`; `facts` are shown as its settings. For the main process."""

    def __init__(self, config: TrainConfig, accelerator: Accelerator, step: int, facts: Mapping[str, JSON]) -> None:
        self.accelerator = accelerator
        if config.trackers:
            name = _run_name(RunFolder(config.out), new=step == 0)
            options = {
                "tensorboard": {"purge_step": step + 1},
                "wandb": {"name": name, "id": name, "resume": "allow", "dir": str(config.out)},
                "trackio": {"name": name, "resume": "allow"},
            }
            accelerator.init_trackers(config.project, dict(facts) if step == 0 else None, options)

    def log(self, record: Record) -> None:
        """Log every number of a record as `kind/name`."""
        values = {name: value for name, value in asdict(record).items() if name != "step"}
        self.accelerator.log(dict(_numbers(values, record.kind)), step=record.step)

    def show(self, pictures: Mapping[str, Path], step: int) -> None:
        """Log pictures, where accelerate can hand them to the tracker."""
        for name, path in pictures.items():
            pixels = read_png(path)
            for tracker in self.accelerator.trackers:
                if tracker.name == "tensorboard":
                    tracker.log_images({name: pixels[None]}, step=step, dataformats="NHWC")
                elif tracker.name == "wandb":
                    tracker.log_images({name: [pixels]}, step=step)


def _run_name(folder: RunFolder, *, new: bool) -> str:
    """The name that the run was given when it began: its folder's, and what tells it from others of that name."""
    if new or not folder.tracker_run.is_file():
        with replacing(folder.tracker_run) as staged:
            staged.write_text(f"{folder.root.resolve().name}-{uuid4().hex[:8]}\n", encoding="utf-8")
    return folder.tracker_run.read_text(encoding="utf-8").strip()


def _numbers(value: object, name: str) -> Iterator[tuple[str, float]]:
    """The numbers of a tree, each with its path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{name}/{key}")
    elif isinstance(value, (int, float)):
        yield name, value
