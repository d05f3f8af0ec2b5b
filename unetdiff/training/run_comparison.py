"""Whether two finished runs are the same: every tensor of the last checkpoint and the snapshots, every logged step."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from unetdiff.training.checkpoint import checkpoints
from unetdiff.training.metrics import whole_lines
from unetdiff.training.run_folder import RunFolder

__all__ = ["Comparison", "compare_runs"]

METRICS = ("loss", "grad_norm", "lr")
OCCASIONAL: tuple[tuple[str, str, Callable[[Mapping[str, Any]], Iterable[float]]], ...] = (
    ("validation loss", "validation", lambda record: record["loss"].values()),
    ("images and sigmas of broken steps", "nonfinite", lambda record: (record["images"], *record["sigmas"])),
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was compared: `count` tensors or numbers, all equal bit for bit or not, and how far apart at most.

    `difference` is relative to the largest magnitude among the numbers; infinite where one side lacks something.
    """

    name: str
    count: int
    equal: bool
    difference: float


def compare_runs(first: RunFolder, second: RunFolder) -> list[Comparison]:
    """The last checkpoint file by file, the snapshots of the averages, the metrics that do not tell time."""
    return [*_compare_checkpoints(first, second), *_compare_snapshots(first, second), *_compare_metrics(first, second)]


def _compare_checkpoints(first: RunFolder, second: RunFolder) -> Iterator[Comparison]:
    one, two = checkpoints(first.checkpoints)[-1], checkpoints(second.checkpoints)[-1]
    for name in sorted(_files(one) | _files(two)):
        yield _compare_tensors(name.removesuffix(".safetensors"), _tensors(one / name), _tensors(two / name))
    states = [json.loads((folder / "state.json").read_text(encoding="utf-8")) for folder in (one, two)]
    facts = [{name: value for name, value in state.items() if name != "seconds"} for state in states]
    equal = facts[0] == facts[1]
    yield Comparison(
        name="step, gradient scale", count=len(facts[0]), equal=equal, difference=0.0 if equal else torch.inf
    )


def _compare_snapshots(first: RunFolder, second: RunFolder) -> Iterator[Comparison]:
    names = sorted(_files(first.averages) | _files(second.averages))
    if names:
        one, two = (
            {f"{name}:{key}": value for name in names for key, value in _tensors(run.averages / name).items()}
            for run in (first, second)
        )
        yield _compare_tensors("snapshots", one, two)


def _compare_metrics(first: RunFolder, second: RunFolder) -> Iterator[Comparison]:
    for metric in METRICS:
        one, two = (_numbers((record, record[metric]) for record in _logged(run, "train")) for run in (first, second))
        yield _compare_tensors(f"{metric} of each step", one, two)
    for name, kind, values in OCCASIONAL:
        one, two = (
            _numbers((record, value) for record in _logged(run, kind) for value in values(record))
            for run in (first, second)
        )
        if one or two:
            yield _compare_tensors(name, one, two)


def _logged(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    """The records of this kind, in the order of their lines."""
    records = [json.loads(line) for line in whole_lines(run.metrics)]
    return [record for record in records if record["kind"] == kind]


def _numbers(pairs: Iterable[tuple[Mapping[str, Any], float | None]]) -> dict[str, Tensor]:
    """By place and step; null, which is fp16's overflow, as -1."""
    return {
        f"{place}:{record['step']}": torch.tensor(-1.0 if number is None else number, dtype=torch.float64)
        for place, (record, number) in enumerate(pairs)
    }


def _compare_tensors(name: str, one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> Comparison:
    if [(key, value.shape) for key, value in one.items()] != [(key, value.shape) for key, value in two.items()]:
        return Comparison(name=name, count=len(one), equal=False, difference=torch.inf)
    pairs = [(value, two[key]) for key, value in one.items()]
    scale = max((float(value.double().abs().max()) for value, _ in pairs), default=0.0)
    furthest = max((float((value.double() - other.double()).abs().max()) for value, other in pairs), default=0.0)
    equal = all(torch.equal(_bits(value), _bits(other)) for value, other in pairs)
    return Comparison(name=name, count=len(one), equal=equal, difference=furthest / scale if furthest else 0.0)


def _bits(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)


def _tensors(path: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = load_file(path) if path.exists() else {}
    return dict(sorted(tensors.items()))


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.safetensors")}
