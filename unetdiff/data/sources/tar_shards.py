"""Webdataset shards: tar files in which the members of one sample share a name, as 0001.jpg, 0001.cls and 0001.txt.

Read by the standard library: the package `webdataset` unpickles members and calls shells for names, and `datasets`
copies every image into a cache of its own and wants each sample to have what the first five have.
"""

import json
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from unetdiff.data.framing import Framing
from unetdiff.data.sources.annotations import Annotations
from unetdiff.data.sources.columns import Columns
from unetdiff.data.sources.decoding import SUFFIXES, Picture, decode
from unetdiff.data.sources.rows import reading
from unetdiff.data.sources.source import Chunk
from unetdiff.errors import InputError

__all__ = ["TarShards"]

TEXTS = ("txt", "cls", "caption", "text", "label")


@dataclass(frozen=True)
class TarShards:
    """The samples of tar files, compressed or not; columns are file endings, or fields of the json member."""

    files: Sequence[Path]
    columns: Columns = field(default_factory=Columns)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names or the numbers in the cls members."""
        return self._annotations.classes

    def __len__(self) -> int:
        return len(self._samples)

    def chunks(self, framing: Framing) -> Iterator[Chunk]:
        """The pictures that can be decoded, brought to `framing`, with what stands beside them."""
        return decode(self._pictures(), self._annotations, framing)

    def _pictures(self) -> Iterator[Picture]:
        for path in self.files:
            for member in _members(path):
                if self._is_picture(member.ending):
                    yield Picture(member.read(), f"{path}: {member.name}")

    @cached_property
    def _samples(self) -> Sequence[Mapping[str, object]]:
        """What stands beside each picture, in the order of the pictures."""
        samples: dict[tuple[Path, str], dict[str, object]] = defaultdict(dict)
        pictures: dict[tuple[Path, str], str] = {}
        for path in self.files:
            for member in _members(path):
                key = (path, member.key)
                if self._is_picture(member.ending):
                    if key in pictures:
                        raise InputError(f"{path}: expected one picture in {member.key}, got {member.name} too")
                    pictures[key] = member.name
                else:
                    samples[key].update(_read_fields(member))
        orphans = [f"{path}: {key}" for path, key in samples if (path, key) not in pictures]
        if orphans or not pictures:
            raise InputError(f"{orphans[0] if orphans else self.files[0]}: expected a picture, got none")
        return [samples[key] for key in pictures]

    @cached_property
    def _annotations(self) -> Annotations:
        names = dict.fromkeys(name for sample in self._samples for name in sample)
        table = {name: [sample.get(name) for sample in self._samples] for name in names}
        return Annotations.read(table, self.columns, len(self), self.files[0])

    def _is_picture(self, ending: str) -> bool:
        return ending == self.columns.image if self.columns.image else f".{ending}" in SUFFIXES


@dataclass(frozen=True)
class _Member:
    path: Path
    archive: tarfile.TarFile
    entry: tarfile.TarInfo

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def key(self) -> str:
        """What the members of a sample share: the name up to the first dot behind the folders."""
        return self.name.removesuffix(f".{self.name.rpartition('/')[2].partition('.')[2]}")

    @property
    def ending(self) -> str:
        return self.name.rpartition("/")[2].partition(".")[2].lower()

    def read(self) -> bytes:
        with reading(self.path):
            content = self.archive.extractfile(self.entry)
            assert content is not None  # members are regular files
            return content.read()


def _members(path: Path) -> Iterator[_Member]:
    with reading(path), tarfile.open(path) as archive:
        for entry in archive:
            if entry.isfile() and not entry.name.rpartition("/")[2].startswith("."):
                yield _Member(path, archive, entry)


def _read_fields(member: _Member) -> Mapping[str, object]:
    """A text under its ending, the fields of a json; other members are none of ours."""
    if member.ending not in (*TEXTS, "json"):
        return {}
    content = member.read()
    try:
        fields = json.loads(content) if member.ending == "json" else {member.ending: content.decode("utf-8").strip()}
    except ValueError as error:
        raise InputError(f"{member.path}: {member.name} cannot be read: {error}") from error
    if not isinstance(fields, dict):
        raise InputError(f"{member.path}: expected a JSON object in {member.name}, got {type(fields).__name__}")
    return fields
