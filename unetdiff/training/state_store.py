"""A run's state in its folder: what is written there is whole, and any number of processes can go on from it.

Under FSDP no process has all of the state, so that every method is for all processes together; the main one writes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError

from unetdiff.data import PackedDataset
from unetdiff.errors import InputError
from unetdiff.training import checkpoint
from unetdiff.training.averages import PowerEMA
from unetdiff.training.averages.snapshots import add_snapshots
from unetdiff.training.checkpoint import TrainingState
from unetdiff.training.config import TrainConfig
from unetdiff.training.initial_state import initial_state
from unetdiff.training.network import build_network, save_network
from unetdiff.training.run_folder import RunFolder
from unetdiff.training.sharding import gather, is_sharded, scatter
from unetdiff.training.summary import model_info

__all__ = ["StateStore"]


class StateStore:
    """Writes `state` into `config.out` and restores it; a checkpoint of another `identity` is refused."""

    def __init__(
        self,
        config: TrainConfig,
        data: PackedDataset,
        accelerator: Accelerator,
        state: TrainingState,
        identity: Mapping[str, Any],
    ) -> None:
        self.config, self.data, self.identity = config, data, identity
        self.accelerator, self.state = accelerator, state
        self.folder = RunFolder(config.out)

    def whole(self) -> TrainingState:
        """The state, not sharded."""
        if not is_sharded(self.state.unet):
            return self.state
        state = self._another()
        gather(self.state, state)
        return state

    def restore(self, path: Path) -> None:
        """Bring the state to where a checkpoint stands.

        Raises:
            InputError: as `checkpoint.restore` has it.
        """
        if not is_sharded(self.state.unet):
            checkpoint.restore(path, self.state, self.identity)
            return
        state = self._another()
        checkpoint.restore(path, state, self.identity)
        scatter(state, self.state)

    def save(self) -> None:
        """Refresh the model folder, then the checkpoint: one that exists never has an older model beside it.

        Weights that are not finite are not saved: the next step finds it and says where, and until then the last
        checkpoint is the better one.

        Raises:
            InputError: the disk refuses, or there is no next step.
        """
        folder, state = self.folder, self.whole()
        if not all(parameter.isfinite().all() for parameter in state.unet.parameters()):
            if state.step < self.config.steps:
                return
            raise InputError(f"step {state.step}: expected finite weights, got others; they were not saved")
        if not self.accelerator.is_main_process:
            return
        with self._room("a checkpoint"):
            save_network(folder.model, state.ema.model, model_info(self.config, self.data, state.step))
            checkpoint.save(folder.checkpoints, state, self.identity)
        checkpoint.prune(folder.checkpoints, self.config.keep_checkpoints)

    def add_snapshots(self, ema: PowerEMA) -> None:
        """Store the averages, from which other widths can be made.

        Raises:
            InputError: the disk refuses.
        """
        state = self.whole()
        if self.accelerator.is_main_process:
            averages = dict(zip(ema.widths, state.ema.models.values(), strict=True))
            with self._room("snapshots of the averages"):
                add_snapshots(self.folder.averages, averages, state.step, getattr(torch, ema.snapshot_dtype))

    def _another(self) -> TrainingState:
        """A state of this run that is not sharded, to copy from or into; the scaler is the same."""
        network = build_network(self.config, going_on=True)
        return initial_state(self.config, network, torch.device("cpu"), self.state.scaler)

    @contextmanager
    def _room(self, what: str) -> Iterator[None]:
        """Where the disk refuses `what`, say so and what is left."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            kept = checkpoint.checkpoints(self.folder.checkpoints)
            rest = f"{kept[-1]} is intact: start again to go on from it" if kept else "there is no checkpoint yet"
            expected = f"step {self.state.step}: expected room for {what} in {self.folder.root}"
            raise InputError(f"{expected}, got: {error}; {rest}") from error
