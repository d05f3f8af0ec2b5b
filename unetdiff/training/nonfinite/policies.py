"""How a run goes on after a step whose numbers broke: not at all, without that step, or from its last good state.

Each process decides alike: it sees the same loss and gradient norm, and reads the same checkpoints.
"""

from collections import Counter
from pathlib import Path
from typing import Protocol

from unetdiff.errors import InputError
from unetdiff.training import checkpoint
from unetdiff.training.averages.snapshots import rewind
from unetdiff.training.resume import restore_newest
from unetdiff.training.state_store import StateStore
from unetdiff.training.step import NonFiniteError, OptimizerStep

__all__ = ["Policy", "Rollback", "Skip", "Stop"]

MOST = 10


class Policy(Protocol):
    """What to do about a step that was not made."""

    def __call__(self, broken: NonFiniteError) -> str:
        """Bring the state to where the next step goes on from, and say what was done.

        Raises:
            InputError: the run has to stop; the message says what the user can do.
        """


class Stop:
    """Nothing but the user can help."""

    def __call__(self, broken: NonFiniteError) -> str:
        """Refuse to go on."""
        raise InputError(
            "lower optimizer.lr or optimizer.clip_norm, or give --on-nonfinite skip or rollback, and start again to go "
            "on from the last checkpoint"
        )


class Skip:
    """Leave out the update: weights, optimiser and averages stay as they were before it, and the data go on."""

    def __init__(self, step: OptimizerStep) -> None:
        self.step = step
        self._last, self._in_a_row = -1, 0

    def __call__(self, broken: NonFiniteError) -> str:
        """Go on behind the step, but not when `MOST` in a row broke before it."""
        self._in_a_row = self._in_a_row + 1 if broken.step == self._last + 1 else 1
        self._last = broken.step
        if self._in_a_row > MOST:
            raise InputError(
                f"{MOST} steps in a row were skipped before it; lower optimizer.lr, or give --on-nonfinite rollback, "
                "and start again to go on from the last checkpoint"
            )
        self.step.drop()
        return "skipped"


class Rollback:
    """Return to the newest checkpoint and go on behind the step: the batches in between are left out with it.

    From the same state the same batches would lead to the same numbers; leaving them out is the cure of Chowdhery et
    al. 2022 (PaLM), section 5.1. The count of steps goes on, so that every batch remains a function of its step, and
    a run that is killed and resumed comes to the same weights. A checkpoint from which the next step breaks too was
    no good state: it is put aside for the one before it.
    """

    def __init__(self, step: OptimizerStep, store: StateStore) -> None:
        self.step, self.store = step, store
        self._times: Counter[int] = Counter()
        self._last = self._restored = self._bad = -1

    def __call__(self, broken: NonFiniteError) -> str:
        """Restore, but not more than `MOST` times the same checkpoint."""
        state, folder, main = self.step.state, self.store.folder, self.step.accelerator.is_main_process
        if broken.step == self._last + 1:
            self._bad = self._restored
        self.step.drop()
        next_step = state.step
        start = restore_newest(checkpoint.checkpoints(folder.checkpoints)[::-1], self._restore)
        self._restored, self._last = state.step, broken.step
        state.step = next_step
        self._times[self._restored] += 1
        if self._times[self._restored] > MOST:
            raise InputError(
                f"the run was rolled back to step {self._restored} {MOST} times before; lower optimizer.lr and start "
                "again to go on from the last checkpoint"
            )
        if main:
            start.put_damaged_aside()
            rewind(folder.averages, self._restored)
        return f"rolled back to the weights of step {self._restored}, to go on behind step {broken.step}"

    def _restore(self, path: Path) -> None:
        if checkpoint.step_of(path) == self._bad:
            raise checkpoint.DamagedCheckpointError(f"{path}: expected a state to go on from, got none")
        self.store.restore(path)
