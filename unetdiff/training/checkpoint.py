"""Checkpoints of a run: `checkpoints/step-0001000/` holds everything that going on bit for bit needs.

    weights.safetensors  optimizer.safetensors
    ema.safetensors       or one file for each width, ema-0.05.safetensors
    log_variance.safetensors   where the objective has its uncertainty learned
    state.json            step, seconds, gradient scale (fp16), counters of the optimiser, versions, and what a run that
                          goes on must share

No random state is among it: all noise is keyed on the step. A folder appears by one rename: one that exists is whole.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from unetdiff import __version__
from unetdiff.atomic import replacing_folder
from unetdiff.errors import InputError
from unetdiff.losses import LogVariance
from unetdiff.training.averages import AveragedWeights
from unetdiff.training.checkpoint_facts import CheckpointFacts
from unetdiff.training.identity import differences
from unetdiff.training.network import learned_tensors
from unetdiff.training.optimizer import optimizer_numbers, optimizer_tensors, restore_optimizer_numbers
from unetdiff.unet import UNet

__all__ = ["DamagedCheckpointError", "TrainingState", "checkpoints", "prune", "restore", "save", "step_of"]

PREFIX = "step-"


class DamagedCheckpointError(InputError):
    """A file of a checkpoint is missing or damaged, or the weights are not finite."""


@dataclass
class TrainingState:
    """What training changes: `step` optimiser steps have been made, in `seconds`."""

    unet: UNet
    ema: AveragedWeights[UNet]
    optimizer: torch.optim.Optimizer
    scaler: GradScaler | None
    log_variance: LogVariance | None = None
    step: int = 0
    seconds: float = 0.0

    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """The tensors themselves, not copies, by file and name."""
        tensors: dict[str, Mapping[str, Tensor]] = {
            "weights.safetensors": learned_tensors(self.unet),
            **{f"{name}.safetensors": learned_tensors(average) for name, average in self.ema.models.items()},
            "optimizer.safetensors": optimizer_tensors(self.optimizer),
        }
        if self.log_variance is not None:
            tensors["log_variance.safetensors"] = self.log_variance.state_dict()
        return tensors


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    return sorted(folder.glob(f"{PREFIX}*"), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The number of optimiser steps that a checkpoint's name tells."""
    number = checkpoint.name.removeprefix(PREFIX)
    if not number.isdecimal():
        raise InputError(f"{checkpoint}: expected a checkpoint folder like {PREFIX}0001000, got {checkpoint.name}")
    return int(number)


def save(folder: Path, state: TrainingState, identity: Mapping[str, Any]) -> Path:
    """Write the checkpoint of `state.step` into `folder` and give its path.

    Raises:
        OSError, SafetensorError: the disk is full or refuses; what was there before stays as it was.
    """
    checkpoint = folder / f"{PREFIX}{state.step:07d}"
    facts = CheckpointFacts(
        step=state.step,
        seconds=state.seconds,
        optimizer=optimizer_numbers(state.optimizer),
        scaler=None if state.scaler is None else state.scaler.state_dict(),
        versions={"unetdiff": __version__, "torch": torch.__version__},
        identity=identity,
    )
    with replacing_folder(checkpoint) as staged:
        for name, tensors in state.tensors().items():
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, staged / name)
        facts.write(staged / "state.json")
    return checkpoint


def restore(checkpoint: Path, state: TrainingState, identity: Mapping[str, Any]) -> None:
    """Bring `state` to where `checkpoint` stands.

    Raises:
        DamagedCheckpointError: a file is missing or damaged; `state` is as it was.
        InputError: the checkpoint is of a run that differs in its identity.
    """
    facts = _read_facts(checkpoint, state.scaler)
    different = differences(facts.identity, identity)
    if different:
        raise InputError(
            f"{checkpoint} belongs to another run: {'; '.join(different)}; choose another out, or restore it"
        )
    stored = {name: _read_tensors(checkpoint / name, like) for name, like in state.tensors().items()}
    broken = [name for name, tensor in stored["weights.safetensors"].items() if not tensor.isfinite().all()]
    if broken:
        raise DamagedCheckpointError(f"{checkpoint}: expected finite weights, got others in {broken[0]}")
    for name, tensors in state.tensors().items():
        for key, tensor in tensors.items():
            tensor.copy_(stored[name][key])  # in place: memory formats stay
    restore_optimizer_numbers(state.optimizer, facts.optimizer)
    if state.scaler is not None and facts.scaler:  # none where the run has not been in fp16
        state.scaler.load_state_dict(dict(facts.scaler))
    state.step, state.seconds = facts.step, facts.seconds


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, first of all their names: a kill leaves none in part."""
    for checkpoint in checkpoints(folder)[:-keep]:
        shutil.rmtree(checkpoint.replace(checkpoint.with_name(f".tmp-{checkpoint.name}")))


def _read_facts(checkpoint: Path, scaler: GradScaler | None) -> CheckpointFacts:
    path = checkpoint / "state.json"
    try:
        return CheckpointFacts.read(path, step_of(checkpoint), {} if scaler is None else scaler.state_dict())
    except (OSError, ValueError) as error:
        raise DamagedCheckpointError(f"{path}: expected the state of a checkpoint, got: {error}") from error


def _read_tensors(path: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DamagedCheckpointError(f"{path}: expected a whole safetensors file, got: {error}") from error
    if _kinds(tensors) != _kinds(like):
        raise DamagedCheckpointError(f"{path}: expected the tensors of this run, got others")
    return tensors


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
