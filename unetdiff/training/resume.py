"""Where a run starts: at the newest whole checkpoint of its folder, at one that is named, or at the beginning."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from unetdiff.errors import InputError
from unetdiff.training.checkpoint import DamagedCheckpointError, checkpoints, step_of

__all__ = ["Start", "restore_newest", "starting_points"]

DAMAGED = "damaged-"


@dataclass(frozen=True, kw_only=True)
class Start:
    """The checkpoint that a run goes on from, None for the beginning, and why better ones were passed over."""

    checkpoint: Path | None = None
    damaged: Mapping[Path, str] = field(default_factory=dict)

    def put_damaged_aside(self) -> None:
        """Rename what is damaged, and say so: neither the next start nor pruning shall take it for a checkpoint.

        Those renamed before go. Of several processes one does this; another that looks afterwards decides the same.
        """
        for path in self.damaged:
            for older in path.parent.glob(f"{DAMAGED}*"):
                shutil.rmtree(older)
        for path, reason in self.damaged.items():
            kept = path.replace(path.with_name(f"{DAMAGED}{path.name}"))
            tqdm.write(f"{reason}; kept as {kept}, going on from {self.checkpoint}", file=sys.stderr)


def starting_points(folder: Path, resume: str) -> list[Path]:
    """The checkpoints to go on from, the best first; none for the beginning.

    Args:
        folder: the run's folder of checkpoints.
        resume: "auto" (those of `folder`, if any), "never", or the path of a checkpoint of any run.

    Raises:
        InputError: `folder` holds checkpoints that are newer than the starting point, so two runs would mix.
    """
    own = checkpoints(folder)
    if resume == "auto":
        return own[::-1]
    start = None if resume == "never" else Path(resume)
    if start is not None and not start.is_dir():
        raise InputError(f"resume: expected auto, never or the folder of a checkpoint, got {resume}")
    if own and step_of(own[-1]) > (0 if start is None else step_of(start)):
        raise InputError(
            f"resume: expected an out without newer checkpoints, got {own[-1]}; remove it or choose another out"
        )
    return [] if start is None else [start]


def restore_newest(candidates: Sequence[Path], restore: Callable[[Path], None]) -> Start:
    """Restore the first of `candidates` (best first) that is whole.

    After a power failure a disk may hold a checkpoint's name without its contents.

    Raises:
        InputError: there is none that is whole, or the first that is belongs to another run.
    """
    damaged: dict[Path, str] = {}
    for checkpoint in candidates:
        try:
            restore(checkpoint)
        except DamagedCheckpointError as error:
            damaged[checkpoint] = str(error)
            continue
        return Start(checkpoint=checkpoint, damaged=damaged)
    raise InputError("; ".join(damaged.values()) or "expected a checkpoint to go on from, got none")
