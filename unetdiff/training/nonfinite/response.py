"""What a run does when a step's numbers break: find out where, keep what reproduces it, then what the policy says."""

import sys

from safetensors import SafetensorError
from tqdm import tqdm

from unetdiff.data import SampleStream
from unetdiff.errors import InputError
from unetdiff.training.nonfinite.diagnosis import Diagnosis, diagnose
from unetdiff.training.nonfinite.policies import Policy, Rollback, Skip, Stop
from unetdiff.training.nonfinite.repro import ReplayFacts, versions, write_repro
from unetdiff.training.records import NonFiniteRecord
from unetdiff.training.run_log import RunLog
from unetdiff.training.state_store import StateStore
from unetdiff.training.step import NonFiniteError, OptimizerStep

__all__ = ["NonFiniteResponse"]

MOST_FOLDERS = 3


class NonFiniteResponse:
    """Called on every process, since each has run its share of the step."""

    def __init__(self, step: OptimizerStep, store: StateStore) -> None:
        policies: dict[str, Policy] = {"stop": Stop(), "skip": Skip(step), "rollback": Rollback(step, store)}
        self.step, self.store = step, store
        self.policy = policies[step.config.on_nonfinite]

    def __call__(self, broken: NonFiniteError, stream: SampleStream, log: RunLog | None) -> None:
        """Bring the state to where the run goes on; `stream` begins with the batches of the step.

        Raises:
            InputError: the run stops; the message tells all.
        """
        diagnosis = diagnose(self.step, stream)
        story = f"{broken}; {diagnosis or 'run again, its batches give finite numbers'}"
        if diagnosis is not None:
            story += self._keep(broken, diagnosis)
        self.step.accelerator.wait_for_everyone()  # the end of a process that stops would end the writer
        try:
            action = self.policy(broken)
        except InputError as error:
            _log(log, broken, diagnosis, "stopped")
            raise InputError(f"{story}; {error}") from broken
        _log(log, broken, diagnosis, action)
        if self.step.accelerator.is_main_process:
            tqdm.write(f"{story}; {action}", file=sys.stderr)

    def _keep(self, broken: NonFiniteError, diagnosis: Diagnosis) -> str:
        """Write the folder that reproduces the step, if there are not enough, and tell of it."""
        state, run = self.store.whole(), self.store.folder
        folder = run.nonfinite / f"step-{broken.step:07d}"
        enough = not folder.exists() and len(list(run.nonfinite.glob("step-*"))) >= MOST_FOLDERS
        if enough or not self.step.accelerator.is_main_process:
            return ""
        try:
            write_repro(folder, state, diagnosis, self._facts(broken, diagnosis), run.config)
        except (OSError, SafetensorError) as error:  # a full disk is no reason to say less of what broke
            return f"; what reproduces it could not be written ({error})"
        return f"; to see it again: unetdiff replay {folder}"

    def _facts(self, broken: NonFiniteError, diagnosis: Diagnosis) -> ReplayFacts:
        scaler = self.step.state.scaler
        return ReplayFacts(
            step=broken.step,
            part=diagnosis.part,
            process=diagnosis.process,
            seed=self.step.dropout_seed(diagnosis.part, diagnosis.process),
            factor=(1.0 if scaler is None else scaler.get_scale()) / self.step.config.accumulation,
            precision=self.step.config.mixed_precision,
            found=f"{broken}; {diagnosis}",
            versions=versions(),
        )


def _log(log: RunLog | None, broken: NonFiniteError, diagnosis: Diagnosis | None, action: str) -> None:
    if log is None:
        return
    rows = () if diagnosis is None else diagnosis.finding.rows
    log.add(
        NonFiniteRecord(
            step=broken.step + 1,
            action=action,
            found=None if diagnosis is None else str(diagnosis.finding),
            images=len(rows),
            samples=() if diagnosis is None else tuple(diagnosis.samples[row] for row in rows),
            sigmas=() if diagnosis is None else tuple(diagnosis.sigmas[row] for row in rows),
        )
    )
