"""`unetdiff segment`: how well the class of each pixel can be told from stored feature maps."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import jsonargparse
import numpy as np
from numpy.typing import NDArray

from unetdiff.cli.recipe.recipe import options_from
from unetdiff.errors import InputError, user_input
from unetdiff.features.splits import open_splits
from unetdiff.pictures import Pixels, grid, save_png
from unetdiff.plain import require
from unetdiff.probes.confusion import Confusion
from unetdiff.probes.dense import DenseProbe, FittedDense
from unetdiff.probes.fitting import Training
from unetdiff.probes.labelled import cells_called
from unetdiff.probes.masks import Masks, read_masks
from unetdiff.probes.networks import MLP
from unetdiff.probes.rows import Rows
from unetdiff.probes.task import held_out_rows
from unetdiff.tables import table

__all__ = ["SegmentOptions", "parser", "run"]

COLUMNS = 8
SCALE = 2


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """The probe and how it is trained.

    Attributes:
        hidden: Widths of the layers for each pixel, with commas between; none makes it linear.
        epochs: Passes over the training images.
        pixels: That are drawn of each image in every pass.
        learning_rate: Of AdamW, falling to 0.
        held_out: Part of the training images that the epoch is chosen on.
        seed: Of weights, order, pixels and the held-out images.
    """

    hidden: str = "128,32"
    epochs: int = 20
    pixels: int = 256
    learning_rate: float = 1e-3
    held_out: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 < self.held_out < 1, "held_out", "a number between 0 and 1", self.held_out)
        valid = all(width.isdecimal() and int(width) >= 1 for width in self._hidden)
        require(valid, "hidden", "numbers of at least 1 with commas between, or none", self.hidden)

    @property
    def _hidden(self) -> list[str]:
        return [] if self.hidden == "none" else self.hidden.split(",")

    def probe(self) -> DenseProbe:
        """The probe that they describe."""
        training = Training(batch=16, epochs=self.epochs, learning_rate=self.learning_rate, seed=self.seed)
        return DenseProbe(
            network=MLP(pool=1, widths=tuple(map(int, self._hidden))), training=training, pixels=self.pixels
        )


def parser() -> jsonargparse.ArgumentParser:
    """Build the options."""
    result = jsonargparse.ArgumentParser(
        description="Fit a probe that tells the class of each pixel from all cells of a store together, as DDPM-seg."
    )
    result.add_argument("store", type=Path, help="folder of `unetdiff features --pool none`, with train and test")
    result.add_argument("masks", type=Path, help="folder with train.npy or pictures in train, and the same of test")
    result.add_argument("--cells", help="nodes or patterns of their names, NAME or NAME@SIGMA, separated by commas")
    result.add_argument("--names", help="of the classes, separated by commas")
    result.add_class_arguments(SegmentOptions)
    result.add_argument(
        "--plot", type=Path | None, help="PNG of the first test masks, as they are and as they are told"
    )
    result.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Fit, judge, draw, print."""
    with user_input():
        options = options_from(SegmentOptions, parser().instantiate(args))
        probe = options.probe()
    stores = open_splits(args.store)
    train, test = (read_masks(args.masks, store.manifest.split, len(store), store.manifest.size) for store in stores)
    classes = 1 + int(max(train.max(), test.max()))
    names = _names(args.names, classes)
    cells = stores[0].cells if args.cells is None else cells_called(args.cells, stores[0].cells)
    features, others = ([store[cell] for cell in cells] for store in stores)

    held_out = held_out_rows(np.zeros(len(train), np.int64), options.held_out, options.seed)
    fitted = probe.fit(features, train, classes, held_out)
    confusion = fitted.confusion(others, test)
    if args.plot is not None:
        _draw(args.plot, fitted, others, test)
    if args.json:
        print(json.dumps(_facts(fitted, confusion, names), indent=2))
    else:
        _print(fitted, confusion, names)


def _names(asked: str | None, classes: int) -> list[str]:
    names = [str(number) for number in range(classes)] if asked is None else asked.split(",")
    if classes < 2:
        raise InputError(f"masks: at least 2 classes expected, to tell apart, got {classes}")
    if len(names) != classes:
        raise InputError(f"names: expected one for each of the {classes} classes of the masks, got {len(names)}")
    return names


def _facts(fitted: FittedDense, confusion: Confusion, names: list[str]) -> dict[str, object]:
    iou = {name: None if np.isnan(value) else float(value) for name, value in zip(names, confusion.iou, strict=True)}
    return {
        "mean_iou": confusion.mean_iou,
        "accuracy": confusion.accuracy,
        "floor": _floor(confusion),
        "iou": iou,
        "epoch": fitted.course.epoch,
        "held_out": fitted.course.validation,
    }


def _floor(confusion: Confusion) -> float:
    """Share of pixels of the most frequent class."""
    return float(confusion.counts.sum(axis=1).max() / confusion.counts.sum())


def _print(fitted: FittedDense, confusion: Confusion, names: list[str]) -> None:
    pixels = confusion.counts.sum(axis=1) / confusion.counts.sum()
    rows = [
        (name, "none" if np.isnan(iou) else f"{iou:.3f}", f"{share:.1%}")
        for name, iou, share in zip(names, confusion.iou, pixels, strict=True)
    ]
    print(table([("class", "IoU", "of test pixels"), *rows], left_aligned=[0]))
    chosen = f"epoch {fitted.course.epoch}, accuracy on held-out pixels {fitted.course.validation:.4f}"
    print(f"\nmean IoU {confusion.mean_iou:.4f}, accuracy {confusion.accuracy:.4f}, {chosen}")
    print(f"most frequent class: {_floor(confusion):.4f}")


def _draw(path: Path, fitted: FittedDense, features: Sequence[Rows], masks: Masks) -> None:
    """A row of masks, and below it a row of what is told of the same images."""
    height, width = masks.shape[1:]
    told = np.stack(list(islice(fitted.predict(features, (height, width)), COLUMNS)))
    pixels = np.concatenate([_coloured(masks[:COLUMNS]), _coloured(told)])
    picture = grid(pixels, columns=len(told), row_labels=["masks", "told"], scale=SCALE)
    save_png(path, picture, {"unetdiff": "masks of the first test images, as they are and as a probe tells them"})


def _coloured(masks: NDArray[np.integer]) -> Pixels:
    """(N, H, W, 3): white where not known, else as PASCAL VOC has it, bit 3 j of a class being bit 7 - j of red, ..."""
    bits = np.arange(8)
    planes = [
        ((masks[..., None].astype(np.int64) >> (3 * bits + channel) & 1) << (7 - bits)).sum(axis=-1)
        for channel in range(3)
    ]
    colours = np.stack(planes, axis=-1)
    colours[masks < 0] = 255
    return colours.astype(np.uint8)
