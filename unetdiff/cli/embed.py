"""`unetdiff embed`: stored features of one place and noise level as points in a plane, coloured by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jsonargparse
import numpy as np
from numpy.typing import NDArray

from unetdiff.cli.figure import Picture
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.data.config import Split
from unetdiff.errors import InputError, user_input
from unetdiff.features.cell import Cell
from unetdiff.features.embedding import Method, plane
from unetdiff.features.store import FeatureStore

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["EmbedOptions", "draw_classes", "parser", "run"]


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """What is drawn.

    Attributes:
        node: The place; not needed where the store has one alone.
        sigma: The noise level; likewise.
        method: tsne, or umap where umap-learn is installed.
        images: How many of the images, taken at random.
        seed: Of their choice and of the method.
        split: The part of the images.
        plot: File to draw to.
    """

    node: str | None = None
    sigma: float | None = None
    method: Method = "tsne"
    images: int = 2000
    seed: int = 0
    split: Split = "test"
    plot: Path = Path("embedding.png")


def parser() -> jsonargparse.ArgumentParser:
    """Build the options of the command from the fields of `EmbedOptions`."""
    result = jsonargparse.ArgumentParser(description="Draw the features of images as points in a plane.")
    result.add_argument("store", type=Path, help="features, as `unetdiff features` writes them")
    result.add_class_arguments(EmbedOptions)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Embed, draw."""
    options = options_from(EmbedOptions, args.as_dict())
    picture = Picture(options.plot)
    store = FeatureStore.open(args.store / options.split)
    cell = _cell(store, options)
    rows = np.sort(np.random.default_rng(options.seed).permutation(len(store))[: options.images])
    with user_input():
        points = plane(store[cell][rows], options.method, options.seed)
    labels = np.zeros(len(rows), np.int64) if store.labels is None else store.labels[rows]
    with picture.panels(1, (6.4, 4.8)) as (axes,):
        draw_classes(axes, points, labels, store.classes)
        axes.set_title(str(cell))
    print(options.plot)


def draw_classes(axes: "Axes", points: NDArray[np.float64], labels: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Points (N, 2), each class in a colour of its own."""
    for number in np.unique(labels):
        name = classes[number] if classes else None
        x, y = points[labels == number].T
        axes.scatter(x, y, s=4, label=name, color=f"C{number}" if number < 10 else None)
    if classes:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3, fontsize=7)
    axes.set_axis_off()


def _cell(store: FeatureStore, options: EmbedOptions) -> Cell:
    asked = {"node": options.node, "sigma": options.sigma}
    cells = [cell for cell in store.cells if asked["node"] in (None, cell.tap) and asked["sigma"] in (None, cell.sigma)]
    if len(cells) != 1:
        settings = store.manifest.settings
        stored = f"{', '.join(settings.taps)} at {', '.join(f'{sigma:g}' for sigma in settings.sigmas)}"
        raise InputError(f"node, sigma: expected one of the stored {stored}, got {options.node}, {options.sigma}")
    return cells[0]
