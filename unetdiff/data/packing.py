"""Source -> folder with images.npy, labels.npy and dataset.json, in one pass and in constant memory."""

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
from unetdiff.data.source import Source
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
    labels: list[NDArray[np.int64]] = []
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
            if chunk.labels is not None:
                labels.append(chunk.labels)
            bar.update(len(chunk.images) + len(chunk.unreadable))
    if labels:
        np.save(folder / "labels.npy", np.concatenate(labels))
        digest.update(np.concatenate(labels).data)
    facts = {
        "classes": source.classes,
        "fingerprint": digest.hexdigest(),
        "unreadable": unreadable,
        "size": framing.size,
        "channels": framing.channels,
    }
    (folder / "dataset.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")


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
