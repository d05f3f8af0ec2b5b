"""What a checkpoint tells beside its tensors, `state.json`: checked as a whole before anything is restored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unetdiff.plain import from_plain, require, to_plain

__all__ = ["CheckpointFacts"]


@dataclass(frozen=True, kw_only=True)
class CheckpointFacts:
    """Of the state after `step` optimiser steps, which took `seconds`.

    Attributes:
        optimizer: what the optimiser counts as plain numbers, by parameter.
        scaler: the gradient scale of fp16; None or empty without.
        versions: of the packages that wrote it, for people alone.
        identity: what a run that goes on must share.
    """

    step: int
    seconds: float
    optimizer: Mapping[str, int] = field(default_factory=dict)
    scaler: Mapping[str, int | float] | None
    versions: Mapping[str, str]
    identity: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, step: int, scale: Mapping[str, int | float]) -> "CheckpointFacts":
        """Those in a file, of a checkpoint of `step`, for a run whose own gradient scale is `scale`, empty without.

        Raises:
            OSError, ValueError: no such file, a damaged one, or one of another step.
        """
        facts = from_plain(cls, json.loads(path.read_text(encoding="utf-8")))
        require(facts.step == step, "step", f"{step}, as the folder says", facts.step)
        if facts.scaler and scale:
            require(_types(facts.scaler) == _types(scale), "scaler", f"numbers like {dict(scale)}", dict(facts.scaler))
        return facts

    def write(self, path: Path) -> None:
        """The inverse of `read`."""
        path.write_text(json.dumps(to_plain(self), indent=2) + "\n", encoding="utf-8")


def _types(numbers: Mapping[str, int | float]) -> dict[str, type]:
    return {name: type(number) for name, number in numbers.items()}
