"""Images in an Arrow table: parquet files, or a data set of the Hugging Face hub.

A picture is a struct of bytes and path, as `datasets` stores it, or bytes, or a path. Parquet is read by pyarrow as it
stands: `datasets` would first copy it into a cache of its own, which the packed images make superfluous.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from unetdiff.data.config import Split
from unetdiff.data.framing import Framing
from unetdiff.data.sources.annotations import Annotations
from unetdiff.data.sources.columns import Columns
from unetdiff.data.sources.decoding import Picture, decode
from unetdiff.data.sources.rows import reading
from unetdiff.data.sources.source import Chunk
from unetdiff.errors import InputError

if TYPE_CHECKING:
    import pyarrow.dataset

__all__ = ["ArrowTable", "open_hub", "open_parquet"]

HUB = "hf:"
ROWS = 256  # that are read at once


@dataclass(frozen=True)
class ArrowTable:
    """The rows of `data`, which lies in `files`; `name` is what messages call it."""

    name: str
    files: Sequence[Path]
    data: "pyarrow.dataset.Dataset"
    columns: Columns

    @property
    def classes(self) -> tuple[str, ...]:
        """The names that a ClassLabel carries, or those in the label column, or its numbers."""
        return self._annotations.classes

    def __len__(self) -> int:
        return int(self.data.count_rows())

    def chunks(self, framing: Framing) -> Iterator[Chunk]:
        """The pictures that can be decoded, brought to `framing`, with the other columns."""
        return decode(self._pictures(), self._annotations, framing)

    def _pictures(self) -> Iterator[Picture]:
        column = self.columns.find_images(self.data.schema.names, self.name)
        batches = self.data.to_batches(columns=[column], batch_size=ROWS, batch_readahead=1, fragment_readahead=1)
        with reading(Path(self.name)):
            values = (value for batch in batches for value in batch.column(0).to_pylist())
            for row, value in enumerate(values):
                yield self._picture(value, f"{self.name}, row {row}", column)

    def _picture(self, value: object, name: str, column: str) -> Picture:
        content = (value.get("bytes") or value.get("path")) if isinstance(value, dict) else value
        if isinstance(content, str):
            return Picture(self.files[0].parent / content, name)
        if content is not None and not isinstance(content, bytes):
            raise InputError(
                f"{name}: expected {column} to be an encoded picture or a path, got {type(value).__name__}"
            )
        return Picture(content or b"", name)

    @cached_property
    def _annotations(self) -> Annotations:
        names = self.data.schema.names
        used = {name for kind in ("label", "caption", "vector") if (name := self.columns.find(kind, names, self.name))}
        with reading(Path(self.name)):
            table = self.data.to_table(columns=sorted(used)).to_pydict()
        label = self.columns.find("label", names, self.name)
        return Annotations.read(table, self.columns, len(self), self.name, self._class_names(label))

    def _class_names(self, label: str | None) -> Sequence[str] | None:
        """The names that `datasets` writes beside a ClassLabel column."""
        described = (self.data.schema.metadata or {}).get(b"huggingface")
        features = json.loads(described)["info"].get("features", {}) if described else {}
        names: Sequence[str] | None = features.get(label, {}).get("names")
        return names


def open_parquet(files: Sequence[Path], columns: Columns) -> ArrowTable:
    """The rows of parquet files, one after the other; InputError where one is damaged."""
    try:
        import pyarrow.dataset
    except ImportError as error:
        raise _needs_datasets(str(files[0])) from error
    with reading(files[0]):
        data = pyarrow.dataset.dataset([str(path) for path in files], format="parquet")
        data.count_rows()
    return ArrowTable(str(files[0]), files, data, columns)


def open_hub(name: str, split: Split, columns: Columns) -> ArrowTable:
    """`hf:owner/name` or `hf:owner/name:configuration`, downloaded on first use; InputError where that fails."""
    try:
        import datasets
        import pyarrow.dataset
    except ImportError as error:
        raise _needs_datasets(name) from error
    path, _, configuration = name.removeprefix(HUB).partition(":")
    try:
        loaded = datasets.load_dataset(path, configuration or None, split=split)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: cannot be loaded: {error}") from error
    table = loaded.data.table.replace_schema_metadata(loaded.features.arrow_schema.metadata)
    files = [Path(file["filename"]) for file in loaded.cache_files]
    return ArrowTable(name, files, pyarrow.dataset.dataset(table), columns)


def _needs_datasets(name: str) -> InputError:
    return InputError(f"{name}: expected the package datasets, which reads it, got none; pip install 'unetdiff[data]'")
