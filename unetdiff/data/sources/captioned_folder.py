"""A folder of image files described by metadata.jsonl or metadata.csv: a row for each image, with its file_name.

This is the `imagefolder` convention of Hugging Face. Every image needs a row and every row an image: which half of a
wrong pair is the mistake, nobody but its owner knows.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from unetdiff.data.framing import Framing
from unetdiff.data.sources.annotations import Annotations
from unetdiff.data.sources.columns import Columns
from unetdiff.data.sources.decoding import Picture, decode
from unetdiff.data.sources.image_folder import find_images
from unetdiff.data.sources.rows import reading
from unetdiff.data.sources.source import Chunk
from unetdiff.errors import InputError

__all__ = ["CaptionedFolder", "find_metadata"]

Row = Mapping[str, object]


@dataclass(frozen=True)
class CaptionedFolder:
    """The images under `folder`, in the order of its metadata; labels come from there, not from subfolders."""

    folder: Path
    columns: Columns = field(default_factory=Columns)

    @property
    def files(self) -> Sequence[Path]:
        """The metadata and the images."""
        return (self._metadata, *self._images)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names, or the numbers, in the label column."""
        return self._annotations.classes

    def __len__(self) -> int:
        return len(self._rows)

    def chunks(self, framing: Framing) -> Iterator[Chunk]:
        """The images that can be decoded, brought to `framing`, with what their rows say."""
        return decode((Picture(path, str(path)) for path in self._images), self._annotations, framing)

    @cached_property
    def _metadata(self) -> Path:
        path = find_metadata(self.folder)
        if path is None:
            raise InputError(f"{self.folder}: expected metadata.jsonl or metadata.csv, got neither")
        return path

    @cached_property
    def _rows(self) -> Sequence[Row]:
        with reading(self._metadata):
            return list(_read_csv(self._metadata) if self._metadata.suffix == ".csv" else _read_jsonl(self._metadata))

    @cached_property
    def _images(self) -> Sequence[Path]:
        """The file of each row; InputError where rows and files are not one to one."""
        found = {path.relative_to(self.folder).as_posix(): path for path in find_images(self.folder)}
        images = []
        for number, row in enumerate(self._rows):
            image = found.pop(str(row.get("file_name")), None)
            if image is None:
                raise InputError(
                    f"{self._metadata}: expected file_name to be an image in {self.folder}, each in one row only, "
                    f"got {row.get('file_name')!r} in row {number}"
                )
            images.append(image)
        if found:
            raise InputError(
                f"{self._metadata}: expected a row for each of {len(images) + len(found)} images, got none for "
                f"{len(found)}, {next(iter(found))} among them"
            )
        return images

    @cached_property
    def _annotations(self) -> Annotations:
        names = dict.fromkeys(name for row in self._rows for name in row if name != "file_name")
        table = {name: [row.get(name) for row in self._rows] for name in names}
        return Annotations.read(table, self.columns, len(self), self._metadata)


def find_metadata(folder: Path) -> Path | None:
    """The file that describes the images of `folder`, if there is one."""
    candidates = (folder / "metadata.jsonl", folder / "metadata.csv")
    return next((path for path in candidates if path.is_file()), None)


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{path}: expected a JSON object in line {number}, got {error}") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}: expected a JSON object in line {number}, got {line.strip()[:40]}")
            yield row


def _read_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin their files with a mark
        reader = csv.DictReader(file, strict=True)
        for row in reader:
            if None in row or None in row.values():
                cells = len(reader.fieldnames or ())
                raise InputError(f"{path}: expected {cells} cells in line {reader.line_num}, got another number")
            yield row
