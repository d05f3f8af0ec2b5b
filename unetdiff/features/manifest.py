"""What a store of features holds and what they depend on: its manifest.json, as data."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np

from unetdiff.atomic import replacing
from unetdiff.errors import InputError
from unetdiff.features.cell import Cell
from unetdiff.features.settings import FeatureSettings
from unetdiff.plain import from_plain, require, to_plain

__all__ = ["FILE", "FORMAT", "Manifest", "row_bytes"]

FORMAT = 1
FILE = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Of one split of one data set under one model and one setting.

    Attributes:
        weights: SHA-256 of the network's weights.
        settings: how they were extracted; what is stored is every tap at every noise level.
        shapes: of a row of each tap, (C,) or (C, h, w) or, of tokens that are no picture, (positions, C).
        size, channels, value_range: of the images as the network saw them.
        data: fingerprint of the images.
        split: which part of the data they are.
        images: number of rows.
        classes: their names, which the labels count.
        shard_images: rows of a file; the last one may have fewer.
        format: of these files.
    """

    weights: str
    settings: FeatureSettings
    shapes: tuple[tuple[int, ...], ...]
    size: tuple[int, int]
    channels: int
    value_range: tuple[float, float]
    data: str
    split: str
    images: int
    classes: tuple[str, ...]
    shard_images: int
    format: int = FORMAT

    def __post_init__(self) -> None:
        require(self.format == FORMAT, "format", f"{FORMAT}, the one that this version reads", self.format)
        taps = len(self.settings.taps)
        require(len(self.shapes) == taps, "shapes", f"one for each of {taps} taps", self.shapes)
        for field in ("images", "shard_images"):
            require(getattr(self, field) >= 1, field, "a positive number", getattr(self, field))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every tap at every noise level, tap by tap."""
        return self.settings.cells

    @property
    def row_shapes(self) -> dict[Cell, tuple[int, ...]]:
        """The shape of one image's row."""
        shapes = dict(zip(self.settings.taps, self.shapes, strict=True))
        return {cell: shapes[cell.tap] for cell in self.cells}

    @property
    def shards(self) -> dict[str, range]:
        """The rows of each file, by its name."""
        starts = range(0, self.images, self.shard_images)
        return {
            f"features-{number:05d}-of-{len(starts):05d}.safetensors": range(
                start, min(start + self.shard_images, self.images)
            )
            for number, start in enumerate(starts)
        }

    @property
    def bytes(self) -> int:
        """Of all numbers on disk."""
        return self.images * row_bytes(self.shapes, self.settings)

    @property
    def facts(self) -> dict[str, object]:
        """Plain values by name, those of the settings among them."""
        plain = to_plain(self)
        settings: dict[str, object] = plain.pop("settings")
        return settings | plain

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits that every file carries."""
        return hashlib.sha256(json.dumps(to_plain(self), sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The one in a folder.

        Raises:
            InputError: none, or a damaged one.
        """
        path = folder / FILE
        if not path.is_file():
            raise InputError(f"{folder}: a store of features expected, got a folder without {FILE}, or nothing")
        try:
            return from_plain(cls, json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise InputError(f"{path}: {error}") from error

    def write(self, folder: Path) -> None:
        """Put it into a folder."""
        with replacing(folder / FILE) as staged:
            staged.write_text(json.dumps(to_plain(self), indent=2) + "\n", encoding="utf-8")

    def require_same(self, other: "Manifest", where: Path) -> None:
        """Refuse to mix features: what `other` says shall be added to what this one says is in `where`.

        Raises:
            InputError: names the first field that differs.
        """
        there, come = self.facts, other.facts
        for field, value in there.items():
            if come[field] != value:
                raise InputError(f"{where}: {field}: expected {value}, as in the features there, got {come[field]}")


def row_bytes(shapes: tuple[tuple[int, ...], ...], settings: FeatureSettings) -> int:
    """Of one image's features, whose taps have these shapes."""
    return len(settings.sigmas) * np.dtype(settings.dtype).itemsize * sum(map(prod, shapes))
