"""What reproduces a step whose numbers broke: a folder with the micro-batch, the weights as they were and the settings.

batch.safetensors        images, noise, sigma, condition.*, samples (global indices)
weights.safetensors      the network; log_variance.safetensors where the objective has its uncertainty learned
step.json  config.yaml   what the step was; the run's configuration
README.md                what was found, and the command that makes it happen again
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unetdiff import __version__
from unetdiff.atomic import replacing_folder
from unetdiff.errors import InputError
from unetdiff.losses import TrainingLoss
from unetdiff.plain import from_plain, to_plain
from unetdiff.training.checkpoint import TrainingState
from unetdiff.training.nonfinite.diagnosis import Diagnosis
from unetdiff.training.nonfinite.watch import Watch, watching

__all__ = ["ReplayFacts", "Repro", "read_repro", "replay", "versions", "write_repro"]


@dataclass(frozen=True, kw_only=True)
class ReplayFacts:
    """What decides a pass beside its tensors.

    `seed` is that of dropout; `factor` what the mean loss of the micro-batch was multiplied with before the backward
    pass: 1 / parts, times the gradient scale of fp16.
    """

    step: int
    part: int
    process: int
    seed: int
    factor: float
    precision: str
    found: str
    versions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Repro:
    """A folder's contents, on the CPU; `weights` by file."""

    facts: ReplayFacts
    batch: Mapping[str, Tensor]
    weights: Mapping[str, Mapping[str, Tensor]]


def write_repro(folder: Path, state: TrainingState, diagnosis: Diagnosis, facts: ReplayFacts, config: Path) -> None:
    """Write all; `config` is the run's `config.yaml`, which is copied if it is there.

    Raises:
        OSError, SafetensorError: the disk is full or refuses; nothing is left.
    """
    batch = {**diagnosis.inputs, "samples": torch.tensor(diagnosis.samples)}
    with replacing_folder(folder) as staged:
        _save(staged / "batch.safetensors", batch)
        for name, tensors in _weights(state).items():
            _save(staged / name, tensors)
        (staged / "step.json").write_text(json.dumps(to_plain(facts), indent=2) + "\n", encoding="utf-8")
        (staged / "README.md").write_text(_readme(folder, facts, diagnosis), encoding="utf-8")
        if config.exists():
            shutil.copyfile(config, staged / "config.yaml")


def read_repro(folder: Path) -> Repro:
    """Read what `write_repro` wrote.

    Raises:
        InputError: a file is missing, damaged or another.
    """
    try:
        facts = from_plain(ReplayFacts, json.loads((folder / "step.json").read_text(encoding="utf-8")))
        batch = load_file(folder / "batch.safetensors")
        others = [path for path in folder.glob("*.safetensors") if path.name != "batch.safetensors"]
        return Repro(facts=facts, batch=batch, weights={path.name: load_file(path) for path in others})
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{folder}: expected a folder that reproduces a step, got: {error}") from error


def replay(loss: TrainingLoss, repro: Repro, device: torch.device | str) -> Watch:
    """Make the pass of the micro-batch again, with `loss` as it was: the gradient is then in its parameters."""
    batch = {name: tensor.to(device) for name, tensor in repro.batch.items()}
    prefix = "condition."
    condition = {name.removeprefix(prefix): value for name, value in batch.items() if name.startswith(prefix)}
    half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(repro.facts.precision)
    torch.manual_seed(repro.facts.seed)
    with watching(loss) as watch:
        with torch.autocast(torch.device(device).type, dtype=half, enabled=half is not None):
            losses = loss(batch["images"], batch["noise"], batch["sigma"], **condition)
        (losses.mean() * repro.facts.factor).backward()
    watch.look_at_gradients(loss)
    return watch


def versions() -> tuple[str, ...]:
    """Of what computes."""
    return (f"unetdiff {__version__}", f"torch {torch.__version__}")


def _weights(state: TrainingState) -> dict[str, Mapping[str, Tensor]]:
    weights: dict[str, Mapping[str, Tensor]] = {"weights.safetensors": state.unet.state_dict()}
    if state.log_variance is not None:
        weights["log_variance.safetensors"] = state.log_variance.state_dict()
    return weights


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


def _readme(folder: Path, facts: ReplayFacts, diagnosis: Diagnosis) -> str:
    rows = "\n".join(
        f"| {sample} | {sigma:.6g} | {'yes' if row in diagnosis.finding.rows else ''} |"
        for row, (sample, sigma) in enumerate(zip(diagnosis.samples, diagnosis.sigmas, strict=True))
    )
    return f"""# Step {facts.step}: numbers that are not finite

{facts.found}.

To see it again, with these weights on this micro-batch ({", ".join(facts.versions)}):

    unetdiff replay {folder}

| sample | sigma | not finite |
|---|---|---|
{rows}
"""
