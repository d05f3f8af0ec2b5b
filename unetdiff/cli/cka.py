"""`unetdiff cka`: how alike the layers of a model are at its noise levels, or those of two models.

Linear CKA (Kornblith et al. 2019) of stored features, see `unetdiff.features.similarity`.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jsonargparse
import numpy as np
from numpy.typing import NDArray

from unetdiff.atomic import replacing
from unetdiff.cli.figure import Picture
from unetdiff.cli.heatmap import Heatmap
from unetdiff.cli.recipe.number_list import read_numbers
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.data.config import Split
from unetdiff.errors import InputError, user_input
from unetdiff.features.cell import Cell
from unetdiff.features.similarity import cka
from unetdiff.features.store import FeatureStore
from unetdiff.tables import table

__all__ = ["CkaOptions", "parser", "run"]

COLUMNS = ("tap", "sigma", "other_tap", "other_sigma", "cka")


@dataclass(frozen=True, kw_only=True)
class CkaOptions:
    """What is compared.

    Attributes:
        split: The part of the images.
        sigmas: Only these of the noise levels, such as 0.2,1.
        batch_size: Images at a time, of which every two are compared.
        out: CSV file for all numbers.
        plot: Also draw them to this file.
    """

    split: Split = "test"
    sigmas: str | None = None
    batch_size: int = 256
    out: Path | None = None
    plot: Path | None = None


def parser() -> jsonargparse.ArgumentParser:
    """Build the options of the command from the fields of `CkaOptions`."""
    result = jsonargparse.ArgumentParser(description="Compare layers at their noise levels, of one model or of two.")
    result.add_argument("store", type=Path, help="features, as `unetdiff features` writes them")
    result.add_argument("other", type=Path, nargs="?", help="those of another model; the same when left out")
    result.add_class_arguments(CkaOptions)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Compare, write what is asked for, print for every layer the one that is most like it."""
    options = options_from(CkaOptions, args.as_dict())
    picture = None if options.plot is None else Picture(options.plot)
    store = FeatureStore.open(args.store / options.split)
    other = store if args.other is None else FeatureStore.open(args.other / options.split)
    _require_same_images(store, other)
    with user_input():
        rows, columns = _cells(store, options), _cells(other, options)
        similarity = cka([store[cell] for cell in rows], [other[cell] for cell in columns], options.batch_size)
    if options.out is not None:
        _write(options.out, rows, columns, similarity)
    if picture is not None:
        _heatmap(rows, columns, similarity, f"CKA, {len(store)} images").write(picture)
    print(_nearest(rows, columns, similarity, to_itself=other is store))


def _cells(store: FeatureStore, options: CkaOptions) -> list[Cell]:
    if options.sigmas is None:
        return list(store.cells)
    wanted = read_numbers(options.sigmas, "sigmas", "numbers with commas between")
    missing = [sigma for sigma in wanted if sigma not in store.manifest.settings.sigmas]
    if missing:
        stored = ", ".join(f"{sigma:g}" for sigma in store.manifest.settings.sigmas)
        raise InputError(f"sigmas: expected some of {stored}, which {store.folder} has, got {missing[0]:g}")
    return [cell for cell in store.cells if cell.sigma in wanted]


def _require_same_images(store: FeatureStore, other: FeatureStore) -> None:
    if (store.manifest.data, len(store)) != (other.manifest.data, len(other)):
        raise InputError(f"{other.folder}: features of the images of {store.folder} expected, got those of others")


def _heatmap(rows: Sequence[Cell], columns: Sequence[Cell], similarity: NDArray[np.float64], title: str) -> Heatmap:
    """Labels have the noise level where there are several."""
    sigmas = {cell.sigma for cell in (*rows, *columns)}
    if len(sigmas) == 1:
        title += f", sigma {sigmas.pop():g}"
        labels = [[cell.tap for cell in cells] for cells in (rows, columns)]
    else:
        labels = [list(map(str, cells)) for cells in (rows, columns)]
    return Heatmap(values=similarity, rows=labels[0], columns=labels[1], title=title)


def _write(path: Path, rows: Sequence[Cell], columns: Sequence[Cell], similarity: NDArray[np.float64]) -> None:
    with replacing(path) as staged, staged.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for (row, column), value in np.ndenumerate(similarity):
            writer.writerow((*rows[row], *columns[column], f"{value:.6g}"))


def _nearest(rows: Sequence[Cell], columns: Sequence[Cell], similarity: NDArray[np.float64], *, to_itself: bool) -> str:
    """A line for each layer."""
    compared = np.nan_to_num(similarity, nan=-np.inf)
    if to_itself:
        np.fill_diagonal(compared, -np.inf)
    nearest = compared.argmax(axis=1)
    lines = [
        (str(cell), str(columns[column]), f"{similarity[row, column]:.3f}")
        for row, (cell, column) in enumerate(zip(rows, nearest, strict=True))
    ]
    return table([("layer", "most like", "CKA"), *lines], left_aligned=(0, 1))
