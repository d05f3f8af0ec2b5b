"""What judges a model's images: it asks for some, and makes a report of them."""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias

from torch import Tensor

from unetdiff.model_info import JSON
from unetdiff.sample_identity import Sample

__all__ = ["Images", "Judge", "Report"]

Images: TypeAlias = Iterable[tuple[Sequence[Sample], Tensor]]
"""Batches of samples with their pictures (N, C, H, W): 8-bit levels in [-1, 1], as real images have."""


class Report(Protocol):
    """What was found."""

    def facts(self) -> dict[str, JSON]:
        """For the JSON file."""

    def text(self) -> str:
        """For the reader."""


class Judge(Protocol):
    """Of one model."""

    @property
    def wanted(self) -> Sequence[Sample]:
        """The images to make."""

    def report(self, images: Images) -> Report:
        """Judge them."""
