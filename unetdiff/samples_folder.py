"""The samples folder: one PNG per image, which carries how it was made, a manifest, a grid, an array.

    class0007-seed000012.png    seed000012.png without classes
    manifest.jsonl              a line per image: file, seed, class, and the settings of its making
    grid.png  samples.npz

An image is there if its file says that it was made in the way now asked for. So a command that was interrupted, or that
asks for more, makes only what is missing, and one with other settings replaces what it finds.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unetdiff.atomic import replacing
from unetdiff.errors import InputError
from unetdiff.pictures import Pixels, from_pixels, grid, read_facts, read_png, save_png

__all__ = ["GRID_SIDE", "Fact", "Sample", "SamplesFolder"]

Fact = str | int | float | Mapping[str, float] | None

GRID_SIDE = 32
LABELLED_SIDE = 56


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image asked for; `label` is None for a model without classes."""

    seed: int
    label: int | None

    @property
    def file(self) -> str:
        """Name of its PNG."""
        prefix = "" if self.label is None else f"class{self.label:04d}-"
        return f"{prefix}seed{self.seed:06d}.png"


class SamplesFolder:
    """A folder of images made with the same settings; `classes` are the names by label."""

    def __init__(self, path: Path, settings: Mapping[str, Fact], classes: Sequence[str]) -> None:
        self.path = path
        self.settings = settings
        self.classes = classes
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"out: a folder expected, but {path} cannot be made: {error.strerror}") from error
        if not os.access(path, os.W_OK):
            raise InputError(f"out: a folder that can be written to expected, {path} cannot")

    def facts(self, sample: Sample) -> dict[str, Fact]:
        """How an image is made: a line of the manifest, and the texts in its PNG."""
        name = None if sample.label is None else self.classes[sample.label]
        return {
            "file": sample.file,
            "seed": sample.seed,
            "class": sample.label,
            "class_name": name,
            **self.settings,
        }

    def missing(self, samples: Sequence[Sample]) -> list[Sample]:
        """Those that are not there yet, or were made in another way."""
        return [sample for sample in samples if self._recorded(self.path / sample.file) != self.facts(sample)]

    def save(self, sample: Sample, pixels: Pixels) -> None:
        """Write one image (H, W, C)."""
        facts = {key: json.dumps(value) for key, value in self.facts(sample).items()}
        save_png(self.path / sample.file, from_pixels(pixels), facts)

    def save_manifest(self) -> None:
        """List every image of the folder, also those of earlier commands."""
        lines = [json.dumps(self._recorded(path)) for path in sorted(self.path.glob("*seed*.png"))]
        with replacing(self.path / "manifest.jsonl") as staged:
            staged.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def save_grid(self, samples: Sequence[Sample]) -> Path:
        """Write the grid: a labelled row per class and a column per seed, `GRID_SIDE` of each at most."""
        labels = list(dict.fromkeys(sample.label for sample in samples))[:GRID_SIDE]
        seeds = list(dict.fromkeys(sample.seed for sample in samples))
        if labels == [None]:
            columns, names = min(int(np.ceil(np.sqrt(len(seeds)))), GRID_SIDE), None
            shown = samples[: columns * GRID_SIDE]
        else:
            columns, names = min(len(seeds), GRID_SIDE), [self.classes[label] for label in labels if label is not None]
            shown = [Sample(seed=seed, label=label) for label in labels for seed in seeds[:columns]]
        pixels = self._pixels(shown)
        scale = max(1, LABELLED_SIDE // max(pixels.shape[1:3]))
        path = self.path / "grid.png"
        facts = {key: json.dumps(value) for key, value in self.settings.items()}
        save_png(path, grid(pixels, columns, names, scale), facts)
        return path

    def save_npz(self, samples: Sequence[Sample]) -> Path:
        """Write samples.npz: `images` (N, H, W, C) uint8, `seeds` (N,), `labels` (N,), -1 without classes."""
        path = self.path / "samples.npz"
        labels = [-1 if sample.label is None else sample.label for sample in samples]
        with replacing(path) as staged:
            seeds = np.array([sample.seed for sample in samples])
            np.savez(staged, images=self._pixels(samples), seeds=seeds, labels=np.array(labels))
        return path

    def _pixels(self, samples: Sequence[Sample]) -> Pixels:
        return np.stack([read_png(self.path / sample.file) for sample in samples])

    def _recorded(self, path: Path) -> dict[str, Fact] | None:
        if not path.exists():
            return None
        return {key: json.loads(value) for key, value in read_facts(path).items()}
