"""Source -> folder of a `PackedDataset`, in one pass; images, however many, take constant memory."""

import hashlib
import json
import logging
import shutil
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from unetdiff.data.array_writer import ArrayWriter
from unetdiff.data.framing import Framing
from unetdiff.data.sources.source import Chunk, Source
from unetdiff.errors import InputError

__all__ = ["pack"]

MAX_UNREADABLE = 0.01

logger = logging.getLogger(__name__)


def pack(source: Source, framing: Framing, folder: Path) -> None:
    """Write aside, then rename: `folder` appears complete or not at all, also when two processes pack at once."""
    aside = folder.with_name(f".{folder.name}.{uuid4().hex}")
    try:
        aside.mkdir(parents=True)
        _write(source, framing, aside)
        _rename(aside, folder)
    except OSError as error:
        raise InputError(f"{error.filename or folder}: cannot pack the images: {error.strerror}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write(source: Source, framing: Framing, folder: Path) -> None:
    digest = hashlib.sha256()
    known = _Known()
    unreadable = 0
    with (
        ArrayWriter(folder / "images.npy") as images,
        tqdm(total=len(source), desc="packing", unit=" images", disable=None) as bar,
    ):
        for chunk in source.chunks(framing):
            unreadable += len(chunk.unreadable)
            _check_unreadable(chunk.unreadable, unreadable, len(source))
            if len(chunk.images):
                images.append(chunk.images)
                digest.update(chunk.images.data)
            known.add(chunk)
            bar.update(len(chunk.images) + len(chunk.unreadable))
    digest.update(known.write(folder))
    facts = {
        "classes": source.classes,
        "fingerprint": digest.hexdigest(),
        "unreadable": unreadable,
        "size": framing.size,
        "channels": framing.channels,
    }
    (folder / "dataset.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")


class _Known:
    """What is known of the images, collected chunk by chunk."""

    def __init__(self) -> None:
        self._labels: list[NDArray[np.int64]] = []
        self._captions: list[str] = []
        self._vectors: list[NDArray[np.float32]] = []

    def add(self, chunk: Chunk) -> None:
        if chunk.labels is not None:
            self._labels.append(chunk.labels)
        if chunk.captions is not None:
            self._captions.extend(chunk.captions)
        if chunk.vectors is not None:
            self._vectors.append(chunk.vectors)

    def write(self, folder: Path) -> bytes:
        """Write labels.npy, captions.json and vectors.npy, each where there is such a thing; return all of it."""
        content = b""
        if self._labels:
            labels = np.concatenate(self._labels)
            np.save(folder / "labels.npy", labels)
            content += labels.tobytes()
        if self._captions:
            captions = json.dumps(self._captions)
            (folder / "captions.json").write_text(captions, encoding="utf-8")
            content += captions.encode()
        if self._vectors:
            vectors = np.concatenate(self._vectors)
            np.save(folder / "vectors.npy", vectors)
            content += vectors.tobytes()
        return content


def _check_unreadable(skipped: tuple[str, ...], unreadable: int, total: int) -> None:
    """Name every image that is skipped; InputError once they are too many to be an accident."""
    if unreadable > MAX_UNREADABLE * total:
        raise InputError(
            f"unreadable images: expected at most {MAX_UNREADABLE:.0%} of {total}, got {unreadable} or more, "
            f"among them {'; '.join(skipped[:3])}"
        )
    for reason in skipped:
        logger.warning("skipped an unreadable image, %s", reason)


def _rename(aside: Path, folder: Path) -> None:
    try:
        aside.rename(folder)
    except OSError:
        # Another process packed the same images meanwhile: its folder is as good as ours.
        if not folder.is_dir():
            raise
