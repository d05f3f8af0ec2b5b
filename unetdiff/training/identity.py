"""What a checkpoint and the run that goes on from it must share, and where two runs differ.

Learning rate, decay, number of steps, accumulation and the like may change between one stop and the next start.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from unetdiff.conditioning.text_encoder import text_info
from unetdiff.data import PackedDataset
from unetdiff.plain import to_plain
from unetdiff.training.averages import PowerEMA
from unetdiff.training.config import TrainConfig

__all__ = ["differences", "identity"]


def identity(config: TrainConfig, data: PackedDataset) -> dict[str, Any]:
    """The part of a run that decides which network learns what from which images in which order."""
    return {
        "model": to_plain(config.model),
        "objective": _with_kinds(config.objective),
        "data": {"fingerprint": data.fingerprint, "flip": config.data.flip},
        "text": None if config.text is None else to_plain(text_info(config.text)) | {"encoder": None},
        "augment": None if config.augment is None else to_plain(config.augment),
        "concat": _with_kinds(config.concat),
        "distill": None if config.distill is None else _with_kinds(config.distill) | {"teacher": None},
        "seed": config.seed,
        "batch_size": config.batch_size,
        "optimizer": {"kind": config.optimizer.kind},
        "ema": {"widths": config.ema.widths if isinstance(config.ema, PowerEMA) else None},
    }


def differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """One phrase per field that is not the same, `model.levels.0.channels was 32, is 64`.

    A field that is missing counts as null: an older version may not have known it.
    """
    before, after = dict(_leaves(saved)), dict(_leaves(json.loads(json.dumps(current))))
    return [
        f"{field} was {before.get(field)}, is {after.get(field)}"
        for field in sorted(before.keys() | after.keys())
        if before.get(field) != after.get(field)
    ]


def _with_kinds(value: Any) -> Any:  # noqa: ANN401  # a tree of dataclasses
    """`to_plain` and the name of each class: those that can stand in one place may have the same fields."""
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: _with_kinds(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return {"kind": type(value).__name__, **fields}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401  # a JSON tree
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
