"""The samples folder: one PNG per image, which carries how it was made, a manifest, a grid, an array.

    class0007-seed000012.png    prompt0000-seed000012.png of a text, seed000012.png without either
    manifest.jsonl              a line per image: file, seed, class or prompt, the settings, and `made`
    grid.png  samples.npz

An image is there if its file says that it was made in the way now asked for. So a command that was interrupted, or that
asks for more, makes only what is missing, and one with other settings replaces what it finds. `made` says what a
computation was besides: versions, device, its batch; it is not compared.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from unetdiff.atomic import replacing
from unetdiff.errors import InputError
from unetdiff.model_info import JSON
from unetdiff.pictures import Pixels, from_pixels, grid, read_facts, read_png, save_png
from unetdiff.sample_identity import Sample

__all__ = ["GRID_SIDE", "MADE", "SamplesFolder", "read_recorded", "read_samples"]

GRID_SIDE = 32
LABELLED_SIDE = 56
LABEL_LENGTH = 24
MADE = "made"


class SamplesFolder:
    """A folder of images made with the same settings."""

    def __init__(self, path: Path, settings: Mapping[str, JSON]) -> None:
        self.path = path
        self.settings = settings
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"out: a folder expected, but {path} cannot be made: {error.strerror}") from error
        if not os.access(path, os.W_OK):
            raise InputError(f"out: a folder that can be written to expected, {path} cannot")

    def missing(self, samples: Sequence[Sample]) -> list[Sample]:
        """Those that are not there yet, or were made in another way."""
        return [sample for sample in samples if not self._holds(sample)]

    def save(self, sample: Sample, pixels: Pixels, made: Mapping[str, JSON]) -> None:
        """Write one image (H, W, C)."""
        save_png(self.path / sample.file, from_pixels(pixels), _texts({**self._facts(sample), MADE: made}))

    def save_manifest(self) -> None:
        """List every image of the folder, also those of earlier commands."""
        lines = [json.dumps(read_recorded(path)) for path in sorted(self.path.glob("*seed*.png"))]
        with replacing(self.path / "manifest.jsonl") as staged:
            staged.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def save_grid(self, samples: Sequence[Sample]) -> Path:
        """Write the grid: a labelled row per subject and a column per seed, `GRID_SIDE` of each at most."""
        rows: dict[object, list[Sample]] = {}
        for sample in samples:
            rows.setdefault(sample.shown, []).append(sample)
        shown = [row[:GRID_SIDE] for row in rows.values()][:GRID_SIDE]
        columns, labels = len(shown[0]), [_label(row[0]) for row in shown if row[0].subject]
        if not labels:
            columns = min(int(np.ceil(np.sqrt(len(samples)))), GRID_SIDE)
            shown = [list(samples[: columns * GRID_SIDE])]
        pixels = self._pixels([sample for row in shown for sample in row])
        scale = max(1, LABELLED_SIDE // max(pixels.shape[1:3]))
        path = self.path / "grid.png"
        save_png(path, grid(pixels, columns, labels, scale), _texts(self.settings))
        return path

    def save_npz(self, samples: Sequence[Sample]) -> Path:
        """Write samples.npz: `images` (N, H, W, C) uint8, `seeds` (N,), `labels` (N,): class or prompt, or -1."""
        path = self.path / "samples.npz"
        labels = [-1 if sample.subject is None else sample.subject.number for sample in samples]
        with replacing(path) as staged:
            seeds = np.array([sample.seed for sample in samples])
            np.savez(staged, images=self._pixels(samples), seeds=seeds, labels=np.array(labels))
        return path

    def _facts(self, sample: Sample) -> dict[str, JSON]:
        return {**sample.facts(), **self.settings}

    def _holds(self, sample: Sample) -> bool:
        path = self.path / sample.file
        if not path.exists():
            return False
        facts = read_recorded(path)
        facts.pop(MADE, None)
        expected: dict[str, JSON] = json.loads(json.dumps(self._facts(sample)))
        return facts == expected

    def _pixels(self, samples: Sequence[Sample]) -> Pixels:
        return np.stack([read_png(self.path / sample.file) for sample in samples])


def read_recorded(path: Path) -> dict[str, JSON]:
    """The facts that a picture carries.

    Raises:
        InputError: another picture.
    """
    try:
        return {key: json.loads(value) for key, value in read_facts(path).items()}
    except ValueError as error:
        raise InputError(f"{path}: a picture of `unetdiff sample` expected, its texts say something else") from error


def read_samples(folder: Path) -> list[Sample]:
    """Which images are in a folder of `unetdiff sample`, seed by seed; none in another folder."""
    if not (folder / "manifest.jsonl").is_file():
        return []
    samples = [Sample.from_facts(read_recorded(path)) for path in folder.glob("*seed*.png")]
    return sorted(samples, key=lambda sample: (sample.seed, sample.file))


def _label(sample: Sample) -> str:
    return ", ".join(one.name[:LABEL_LENGTH] for one in sample.shown)


def _texts(facts: Mapping[str, JSON]) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in facts.items()}
