"""Where the images that are judged come from: a model makes them into a samples folder, or a folder has them.

A batch is made whole: which images are in it does not depend on what was there already, nor on the number of processes,
which take the batches in turn. So an image has the same bits however it came about.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from accelerate import PartialState

from unetdiff.cli.generate import generate
from unetdiff.cli.method import Method
from unetdiff.cli.provenance import Made
from unetdiff.cli.sample import settings
from unetdiff.data import DataConfig, prepare
from unetdiff.errors import InputError
from unetdiff.evaluation.image_set import DataImages, FileImages
from unetdiff.evaluation.judges.judge import Candidates
from unetdiff.model_info import JSON
from unetdiff.pictures import to_uint8
from unetdiff.plain import to_plain
from unetdiff.sample_identity import Sample
from unetdiff.samples_folder import SamplesFolder, read_samples

__all__ = ["FoundImages", "ImageSource", "MadeImages"]


class ImageSource(Protocol):
    """Of the images to judge; `shown` says what each should show, if it is known."""

    @property
    def shown(self) -> Sequence[str | None]:
        """A class or a caption for each image."""

    @property
    def channels(self) -> int:
        """Of the images."""

    def candidates(self) -> Candidates:
        """The images; every process has to ask."""

    def facts(self) -> Mapping[str, JSON]:
        """What they depend on."""


@dataclass(frozen=True, kw_only=True)
class MadeImages:
    """Of a model; `name` is how the user named it."""

    method: Method
    wanted: Sequence[Sample]
    out: Path
    batch_size: int
    name: str | None

    @property
    def shown(self) -> Sequence[str | None]:
        """See `ImageSource`."""
        return [None if sample.subject is None else sample.subject.name for sample in self.wanted]

    @property
    def channels(self) -> int:
        """See `ImageSource`."""
        return self.method.model.picture_channels

    def facts(self) -> Mapping[str, JSON]:
        """See `ImageSource`."""
        calls = {"network_calls_per_image": self.method.calls}
        return {"model": str(self.method.model.folder), **settings(self.method), **calls}

    def candidates(self) -> Candidates:
        """What is missing is made, and said."""
        state, started = PartialState(), time.perf_counter()
        folder = SamplesFolder(self.out, settings(self.method))
        missing = set(folder.missing(self.wanted))
        state.wait_for_everyone()  # nobody writes before everybody has seen what is missing
        starts = range(0, len(self.wanted), self.batch_size)
        batches = [self.wanted[start : start + self.batch_size] for start in starts]
        incomplete = [batch for batch in batches if missing.intersection(batch)]
        for batch in incomplete[state.process_index :: state.num_processes]:
            self._make(batch, missing, folder)
        state.wait_for_everyone()
        if state.is_main_process:
            folder.save_manifest()
            seconds, calls = time.perf_counter() - started, self.method.calls
            line = f"{len(missing)} of {len(self.wanted)} images made in {seconds:.1f} s, {calls} network calls each"
            print(line, file=sys.stderr)  # beside what --json prints
        images = FileImages(files=[self.out / sample.file for sample in self.wanted])
        return Candidates(images=images, shown=self.shown)

    def _make(self, batch: Sequence[Sample], missing: set[Sample], folder: SamplesFolder) -> None:
        """The whole batch, of which what is missing is kept."""
        for _, pictures in generate(self.method, batch, len(batch)):
            pixels = to_uint8(pictures, self.method.model.value_range)
            for row, sample in enumerate(batch):
                if sample in missing:
                    made = Made.here(self.method.model.device, self.name, len(batch), row)
                    folder.save(sample, pixels[row], to_plain(made))


@dataclass(frozen=True, kw_only=True)
class FoundImages:
    """Of a folder: any images, or those of `unetdiff sample`, which say what they show."""

    folder: Path
    found: Candidates

    @classmethod
    def of(cls, folder: Path, count: int | None, config: DataConfig) -> "FoundImages":
        """All of them or `count`; `config` says how any images are read.

        Raises:
            InputError: no such folder, or not as many images.
        """
        if not folder.is_dir():
            raise InputError(f"images: expected a folder of images, got {folder}, which is none")
        samples = read_samples(folder)
        data = None if samples else prepare(replace(config, source=str(folder), split="train", size=None))
        there = len(samples) if data is None else len(data)
        if count is not None and count > there:
            raise InputError(f"n: expected at most the {there} images of {folder}, got {count}")
        if data is not None:
            images = DataImages(data=data, rows=np.random.default_rng(0).permutation(len(data))[:count])
            return cls(folder=folder, found=Candidates(images=images, shown=images.names))
        chosen = samples[:count]
        files = FileImages(files=[folder / sample.file for sample in chosen])
        shown = [None if sample.subject is None else sample.subject.name for sample in chosen]
        return cls(folder=folder, found=Candidates(images=files, shown=shown))

    @property
    def shown(self) -> Sequence[str | None]:
        """See `ImageSource`."""
        return self.found.shown

    @property
    def channels(self) -> int:
        """See `ImageSource`."""
        return self.found.images.shape[0]

    def facts(self) -> Mapping[str, JSON]:
        """See `ImageSource`."""
        return {"images": str(self.folder), "images_key": self.found.images.key}

    def candidates(self) -> Candidates:
        """See `ImageSource`."""
        return self.found
