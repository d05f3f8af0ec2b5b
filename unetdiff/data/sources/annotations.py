"""What is known of each image of a source: labels, captions and vectors, checked row by row."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetdiff.data.pixels import Pixels
from unetdiff.data.sources.columns import Columns
from unetdiff.data.sources.source import Chunk, checked_labels
from unetdiff.errors import InputError

__all__ = ["Annotations"]


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """A row for each image of a source, in its order; None for what the source does not have."""

    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    captions: tuple[str, ...] | None = None
    vectors: NDArray[np.float32] | None = None

    @classmethod
    def read(
        cls,
        table: Mapping[str, Sequence[object]],
        columns: Columns,
        images: int,
        source: object,
        classes: Sequence[str] | None = None,
    ) -> "Annotations":
        """Take labels, captions and vectors out of a table with one row per image.

        Args:
            table: the columns by name.
            columns: which of them to take.
            images: how many rows there have to be.
            source: what messages call the table.
            classes: names of the classes, where the source knows them.

        Raises:
            InputError: a row is missing, or is not what its column should hold.
        """
        names = {kind: columns.find(kind, table, source) for kind in ("label", "caption", "vector")}
        label, caption, vector = (None if name is None else table[name] for name in names.values())
        labels, known = (None, ()) if label is None else _labels(label, images, f"{source}: {names['label']}", classes)
        return cls(
            labels=labels,
            classes=known,
            captions=None if caption is None else _captions(caption, images, f"{source}: {names['caption']}"),
            vectors=None if vector is None else _vectors(vector, images, f"{source}: {names['vector']}"),
        )

    def chunk(self, images: Pixels, rows: Sequence[int], unreadable: tuple[str, ...] = ()) -> Chunk:
        """`images` with what is known of them; `rows` are their numbers in the source."""
        return Chunk(
            images=images,
            labels=None if self.labels is None else self.labels[rows],
            captions=None if self.captions is None else tuple(self.captions[row] for row in rows),
            vectors=None if self.vectors is None else self.vectors[rows],
            unreadable=unreadable,
        )


def _labels(
    values: Sequence[object], images: int, name: str, classes: Sequence[str] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Numbers of the classes, and their names: those given, or the sorted names in the column, or the numbers."""
    numbers = values if isinstance(values, np.ndarray) and values.dtype.kind != "U" else _numbers(values, images, name)
    if numbers is None:
        found, labels = np.unique(list(map(str, values)), return_inverse=True)
        return labels, tuple(found.tolist())
    labels = checked_labels(np.asarray(numbers), images, len(classes) if classes else None, name)
    return labels, tuple(classes or map(str, range(int(labels.max()) + 1)))


def _numbers(values: Sequence[object], images: int, name: str) -> list[int] | None:
    """The integers in a column, also where it is a text file's and they are written out; None where it has names."""
    _require_rows(values, images, name, "label")
    kind, expected = (str, "a name") if isinstance(values[0], str) else (int, "an integer label")
    for row, value in enumerate(values):
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"{name}: expected {expected} in every row, got {value!r} at row {row}")
    written = list(map(str, values))
    return list(map(int, written)) if all(map(re.compile(r"-?\d+").fullmatch, written)) else None


def _captions(values: Sequence[object], images: int, name: str) -> tuple[str, ...]:
    _require_rows(values, images, name, "caption")
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise InputError(f"{name}: expected a text in every row, got {value!r} at row {row}")
    return tuple(map(str, values))


def _vectors(values: Sequence[object], images: int, name: str) -> NDArray[np.float32]:
    """(N,D); a column of single numbers gives D = 1."""
    _require_rows(values, images, name, "vector")
    try:
        vectors = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected as many numbers in every row, got {str(error).lower()}") from error
    if vectors.ndim not in (1, 2) or not vectors.size:
        raise InputError(f"{name}: expected an array (N, D), got {vectors.shape}")
    if not np.isfinite(vectors).all():
        row = int(np.argwhere(~np.isfinite(vectors))[0, 0])
        raise InputError(f"{name}: expected finite numbers, got {vectors[row]} at row {row}")
    return vectors.reshape(images, -1)


def _require_rows(values: Sequence[object], images: int, name: str, kind: str) -> None:
    if len(values) != images:
        raise InputError(f"{name}: expected one {kind} for each of {images} images, got {len(values)}")
