"""Where a run starts: at the newest checkpoint of its folder, at one that is named, or at the beginning."""

from pathlib import Path

from unetdiff.errors import InputError
from unetdiff.training.checkpoint import checkpoints, step_of

__all__ = ["starting_point"]


def starting_point(folder: Path, resume: str) -> Path | None:
    """The checkpoint to go on from, None for the beginning.

    Args:
        folder: the run's folder of checkpoints.
        resume: "auto" (the newest of `folder`, if any), "never", or the path of a checkpoint of any run.

    Raises:
        InputError: `folder` holds checkpoints that are newer than the starting point, so two runs would mix.
    """
    own = checkpoints(folder)
    if resume == "auto":
        return own[-1] if own else None
    start = None if resume == "never" else Path(resume)
    if start is not None and not start.is_dir():
        raise InputError(f"resume: expected auto, never or the folder of a checkpoint, got {resume}")
    if own and step_of(own[-1]) > (0 if start is None else step_of(start)):
        raise InputError(
            f"resume: expected an out without newer checkpoints, got {own[-1]}; remove it or choose another out"
        )
    return start
