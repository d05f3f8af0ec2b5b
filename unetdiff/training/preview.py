"""What a run's previews are to its loop: samples drawn from the averaged weights, shown and measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from unetdiff.denoiser import Denoiser
from unetdiff.training.records import MemorisationRecord

__all__ = ["Preview", "Shown"]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The pictures that were written, by what they show, and what was measured of the samples, if anything."""

    pictures: Mapping[str, Path] = field(default_factory=dict)
    record: MemorisationRecord | None = None


Preview: TypeAlias = Callable[[Denoiser, int, int], Shown]
"""`preview(denoiser, step, batch_size)` shows what the averaged weights can do; so many images fit into memory."""
