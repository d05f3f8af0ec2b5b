"""A folder of image files: its subfolders are the classes, or it is flat and has no labels.

Walked here and not by `datasets`: the files' sizes and times are the key of the packed cache, their order has to be
the same everywhere, and `datasets` would keep a second copy of the images in a cache of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from unetdiff.data.framing import Framing
from unetdiff.data.sources.annotations import Annotations
from unetdiff.data.sources.decoding import SUFFIXES, Picture, decode
from unetdiff.data.sources.source import Chunk
from unetdiff.errors import InputError

__all__ = ["ImageFolder", "find_images"]


@dataclass(frozen=True)
class ImageFolder:
    """The images under `folder`, sorted by path; hidden files are left out."""

    folder: Path

    @cached_property
    def files(self) -> Sequence[Path]:
        """All image files; InputError when there are none, or some inside and some beside the class folders."""
        found = find_images(self.folder)
        loose = [path for path in found if path.parent == self.folder]
        if loose and len(loose) < len(found):
            raise InputError(f"{self.folder}: expected every image in a class folder, got {loose[0].name} beside them")
        return found

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the subfolders that hold images, sorted."""
        return tuple(sorted({self._class(path) for path in self.files} - {""}))

    def __len__(self) -> int:
        return len(self.files)

    def chunks(self, framing: Framing) -> Iterator[Chunk]:
        """The images that can be decoded, brought to `framing`, with their labels."""
        return decode((Picture(path, str(path)) for path in self.files), self._annotations, framing)

    @property
    def _annotations(self) -> Annotations:
        if not self.classes:
            return Annotations()
        numbers = {name: number for number, name in enumerate(self.classes)}
        labels = np.array([numbers[self._class(path)] for path in self.files], dtype=np.int64)
        return Annotations(labels=labels, classes=self.classes)

    def _class(self, path: Path) -> str:
        parts = path.relative_to(self.folder).parts
        return parts[0] if len(parts) > 1 else ""


def find_images(folder: Path) -> list[Path]:
    """All image files under `folder`, sorted by path; InputError where there are none."""
    found = sorted(_walk(folder))
    if not found:
        raise InputError(f"{folder}: expected image files ({', '.join(sorted(SUFFIXES))}), got none")
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry)
        elif entry.suffix.lower() in SUFFIXES:
            yield entry
