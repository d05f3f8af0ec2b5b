"""The training loop: optimiser steps, from wherever the run folder stands to the last one.

A step's noise is keyed on the global index of its samples and its dropout on (seed, step, part, process), so a run that
was stopped and goes on makes the same numbers as one that was not.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from unetdiff.data import Batch, PackedDataset, SampleStream
from unetdiff.denoiser import Denoiser
from unetdiff.training import checkpoint
from unetdiff.training.averages import PowerEMA
from unetdiff.training.averages.snapshots import rewind
from unetdiff.training.batches import sample_stream
from unetdiff.training.conditions import row_conditions
from unetdiff.training.config import TrainConfig
from unetdiff.training.identity import identity
from unetdiff.training.initial_state import initial_state
from unetdiff.training.interrupt import StopRequest, ending_workers, ignore_signals
from unetdiff.training.meter import Meter, TimedIterator
from unetdiff.training.micro_batch import fitting_accumulation
from unetdiff.training.network import build_network, fingerprint
from unetdiff.training.nonfinite import NonFiniteResponse
from unetdiff.training.preview import Preview
from unetdiff.training.processes import join_processes
from unetdiff.training.progress import Progress, progress
from unetdiff.training.resume import Start, restore_newest
from unetdiff.training.run_folder import RunFolder
from unetdiff.training.run_log import RunLog
from unetdiff.training.sharding import is_sharded
from unetdiff.training.state_store import StateStore
from unetdiff.training.step import NonFiniteError, OptimizerStep, Update
from unetdiff.training.summary import check_fit, model_info
from unetdiff.training.teacher import load_teacher
from unetdiff.training.validation import Validation

__all__ = ["Trainer"]


class Trainer:
    """A run on this process's share of the machine; `fit` makes it and keeps its folder up to date.

    `starts`: checkpoints, the first whole one of which it goes on from; none: from the beginning. `held_out`: images to
    validate on, None: no validation.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: PackedDataset,
        preview: Preview | None = None,
        starts: Sequence[Path] = (),
        held_out: PackedDataset | None = None,
    ) -> None:
        check_fit(config, data)
        self.config, self.data, self.preview = config, data, preview
        self.rows = row_conditions(config, data)
        self.folder = RunFolder(config.out)
        self.accelerator = join_processes(config)
        self.network = build_network(config, going_on=bool(starts))
        self.teacher = load_teacher(config, self.accelerator.device)
        taught = None if self.teacher is None else fingerprint(self.teacher.denoiser.unet)
        self.identity = {**identity(config, data), **self.network.identity, "teacher": taught}
        self.state = initial_state(config, self.network, self.accelerator.device, self.accelerator.scaler)
        self.optimizer_step = OptimizerStep(config, self.accelerator, self.state, self.teacher)
        self.store = StateStore(config, data, self.accelerator, self.state, self.identity)
        self.validation = None if held_out is None else Validation(config, held_out, self.accelerator)
        self.start = restore_newest(starts, self.store.restore) if starts else Start()
        self.respond = NonFiniteResponse(self.optimizer_step, self.store)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes."""
        return bool(self.accelerator.is_main_process)

    @property
    def _images_at_a_time(self) -> int:
        """Those of a batch that this process takes at once."""
        return self.config.batch_size // (self.config.accumulation * int(self.accelerator.num_processes))

    def fit_memory(self) -> None:
        """Take batches in more parts than configured, on all processes alike, where memory needs that.

        Not under FSDP, where no process can try alone.
        """
        if self.state.step < self.config.steps and not is_sharded(self.state.unet):
            parts = fitting_accumulation(self.optimizer_step, self.stream)
            self.config = self.optimizer_step.config = replace(self.config, accumulation=parts)

    def fit(self) -> bool:
        """Train up to `config.steps`; False if a signal stopped it before. Either way the run folder is complete."""
        with ending_workers():
            finished = self._fit()
            self._leave()
        return finished

    def _fit(self) -> bool:
        config, state, main = self.config, self.state, self.is_main
        log = self._log() if main else None
        if main:
            self.start.put_damaged_aside()
            rewind(self.folder.averages, state.step)
        if config.on_nonfinite == "rollback" and self._any(not checkpoint.checkpoints(self.folder.checkpoints)):
            self.store.save()
        meter = Meter(config.batch_size, state.seconds)
        batches = TimedIterator(self._batches())
        stopped = False
        with StopRequest() as stop, progress(state.step, config.steps, enabled=main) as display:
            while state.step < config.steps and not stopped:
                update = self._update(batches, meter, log)
                display.step()
                stopped = self._any(stop.requested)
                if log is not None and update is not None and (stopped or self._due(config.log_every)):
                    record = meter.record(state.step, update.lr)
                    log.add(record)
                    display.record(record)
                self._watch(log, display)
                self._add_snapshots()
                # A state that could not make a step is no place to go back to.
                if stopped or self._due(0 if update is None else config.checkpoint_every):
                    self.store.save()
        return state.step >= config.steps

    def _leave(self) -> None:
        """Part from the other processes; what exchanges gradients goes first, never as the last that holds their group.

        Its end would take the group with it while Python's lock is held, and wait for a thread of gloo that may want
        the lock to let go of the last tensors: forever.
        """
        self.optimizer_step.unwrap()
        self.accelerator.end_training()

    def _update(self, batches: TimedIterator[Batch], meter: Meter, log: RunLog | None) -> Update | None:
        """Make the next step; None where its numbers broke and the run goes on without it."""
        began = time.perf_counter()
        try:
            update = self.optimizer_step(batches)
        except NonFiniteError as broken:
            self.respond(broken, self.stream(self.config.accumulation), log)
            return None
        meter.add(update, time.perf_counter() - began, batches.take_waited())
        self.state.seconds = meter.seconds
        return update

    def _batches(self) -> Iterator[Batch]:
        """This process's share of the batches that are left."""
        return iter(
            DataLoader(
                self.stream(self.config.accumulation),
                batch_size=None,
                num_workers=self.config.num_workers,
                worker_init_fn=ignore_signals,
                pin_memory=self.accelerator.device.type == "cuda",
            )
        )

    def stream(self, parts: int) -> SampleStream:
        """The same batches by their index, each in so many parts."""
        config, accelerator = replace(self.config, accumulation=parts), self.accelerator
        rank, processes = accelerator.process_index, accelerator.num_processes
        return sample_stream(config, self.data, self.rows, self.state.step, rank, processes)

    def _due(self, every: int) -> bool:
        """Whether something that happens every so many steps (0: only at the end) happens now."""
        return self.state.step == self.config.steps or (every > 0 and self.state.step % every == 0)

    def _any(self, wanted: bool) -> bool:
        """Whether any process wants it: to stop, or to save, all have to do together."""
        flag = torch.tensor(float(wanted), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum"))

    def _log(self) -> RunLog:
        facts = model_info(self.config, self.data, self.state.step).training
        return RunLog(self.config, self.accelerator, self.state.step, facts)

    def _watch(self, log: RunLog | None, display: Progress) -> None:
        """Validate and preview when it is time; before the checkpoint of this step, so that what it logs is whole."""
        config = self.config
        if self.validation is not None and self._due(config.validation.every):
            record = self.validation(self.store.whole(), self._images_at_a_time)
            if log is not None:
                log.add(record)
                display.validated(record)
        if self.preview is not None and self._due(config.preview.every):
            state = self.store.whole()
            if log is not None:
                denoiser = Denoiser(state.ema.model, config.objective.preconditioning).to(self.accelerator.device)
                log.show(self.preview(denoiser.eval(), state.step, self._images_at_a_time), state.step)

    def _add_snapshots(self) -> None:
        """Store the averages when it is time; before the checkpoint of this step, so that it never lacks them."""
        ema = self.config.ema
        if isinstance(ema, PowerEMA) and ema.snapshot_every and self._due(ema.snapshot_every):
            self.store.add_snapshots(ema)
