"""Classes of pixels, told from feature maps: segmentation by a linear layer or an MLP for each pixel.

Baranchuk et al. 2022 (DDPM-seg, arXiv:2112.03126): the maps of several places and noise levels, upsampled to the image
and concatenated, are the features of its pixels. They are computed for pixels that are drawn, minibatch by minibatch,
and for a few of them at a time where an image is segmented: memory does not grow with images or their size.
The paper takes the vote of ten MLPs; this is one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unetdiff.errors import InputError
from unetdiff.plain import require
from unetdiff.probes.confusion import Confusion
from unetdiff.probes.fitting import Course, Training, fit_network, seeded
from unetdiff.probes.networks import MLP, Grid, Maps
from unetdiff.probes.pixels import pixel_features
from unetdiff.probes.rows import Indices, Rows, compute_device, read

__all__ = ["DenseProbe", "FittedDense"]

BLOCK = 4096  # pixels at a time, where all are told

Mask = NDArray[np.int64]
"""(H, W), the class of each pixel."""


@dataclass(frozen=True, kw_only=True)
class DenseProbe:
    """A network for single pixels and how it is trained.

    Attributes:
        network: Its hidden layers, none for a linear probe; the paper has (128, 32), from 30 classes on (256, 128).
        training: A row is an image.
        pixels: That are drawn of each image in every epoch.
    """

    network: MLP = field(default_factory=lambda: MLP(pool=1, widths=(128, 32)))
    training: Training = field(default_factory=lambda: Training(batch=16))
    pixels: int = 256

    def __post_init__(self) -> None:
        require(self.pixels >= 1, "pixels", "at least 1", self.pixels)

    def fit(self, features: Sequence[Rows], masks: Rows, classes: int, held_out: Indices) -> "FittedDense":
        """Train on the images that are not held out; the epoch is chosen by drawn pixels of those that are.

        Args:
            features: maps (N, C, h, w) of each cell.
            masks: (N, H, W), the class of each pixel, below 0 where it is not known.
            classes: their number.
            held_out: numbers of images.

        Raises:
            InputError: maps or masks of other images or shapes, an unknown class, or an image of unknown pixels alone.
        """
        _require_images(features, masks)
        with seeded(self.training.seed):
            grid = Grid(shapes=((sum(cell.shape[1] for cell in features), 1, 1),))
            network = self.network.build(grid, classes).to(compute_device())
        examples = _DrawnPixels(
            features=features, masks=masks, classes=classes, count=self.pixels, seed=self.training.seed
        )
        kept = np.setdiff1d(np.arange(len(masks)), held_out)
        course = fit_network(network, examples, self.training, kept=kept, held_out=held_out)
        return FittedDense(network=network, classes=classes, course=course)


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedDense:
    """A trained network for single pixels, with the epoch and the accuracy that chose it."""

    network: nn.Module
    classes: int
    course: Course

    def predict(self, features: Sequence[Rows], size: tuple[int, int]) -> Iterator[Mask]:
        """The mask of each image, of this height and width."""
        for row in range(len(features[0])):
            maps = [read(cell, slice(row, row + 1)) for cell in features]
            yield self._mask(maps, size).cpu().numpy()

    def confusion(self, features: Sequence[Rows], masks: Rows) -> "Confusion":
        """How well the masks of these images are told."""
        _require_images(features, masks)
        counts = np.zeros((self.classes, self.classes), dtype=np.int64)
        height, width = masks.shape[1:]
        for row, predicted in enumerate(self.predict(features, (height, width))):
            truth = _mask(masks, row, self.classes)
            known = truth >= 0
            pairs = truth[known] * self.classes + predicted[known]
            counts += np.bincount(pairs, minlength=self.classes**2).reshape(counts.shape)
        return Confusion(counts)

    @torch.no_grad()
    def _mask(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        every = torch.arange(size[0] * size[1], device=maps[0].device)
        told = [
            self.network(_as_input(pixel_features(maps, pixels[None], size))).argmax(dim=1)
            for pixels in torch.split(every, BLOCK)
        ]
        return torch.cat(told).reshape(size)


@dataclass(frozen=True, kw_only=True, eq=False)
class _DrawnPixels:
    """`count` known pixels of each image, with replacement; new ones in each epoch, always the same where judged."""

    features: Sequence[Rows]
    masks: Rows
    classes: int
    count: int
    seed: int

    def batch(self, rows: Indices, epoch: int | None) -> tuple[Maps, Tensor]:
        """Features and classes of the drawn pixels, image by image."""
        drawn = [self._draw(int(row), epoch or 0) for row in rows]
        maps = [read(cell, rows) for cell in self.features]
        device = maps[0].device
        pixels, labels = (torch.from_numpy(np.stack(values)).to(device) for values in zip(*drawn, strict=True))
        height, width = self.masks.shape[1:]
        return _as_input(pixel_features(maps, pixels, (height, width))), labels.flatten()

    def _draw(self, row: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        labels = _mask(self.masks, row, self.classes).flatten()
        known = np.flatnonzero(labels >= 0)
        if len(known) == 0:
            raise InputError(f"masks: a pixel of a known class in each image expected, got none in row {row}")
        pixels = np.random.default_rng([self.seed, row, epoch]).choice(known, size=self.count)
        return pixels, labels[pixels]


def _mask(masks: Rows, row: int, classes: int) -> Mask:
    mask: Mask = np.asarray(masks[row : row + 1][0], dtype=np.int64)
    if mask.max() >= classes:
        raise InputError(f"masks: classes below {classes} expected, got {mask.max()} in row {row}")
    return mask


def _as_input(pixels: Tensor) -> Maps:
    """(n, p, C) as maps of one position, one for each pixel."""
    return [[pixels.flatten(0, 1)[:, :, None, None]]]


def _require_images(features: Sequence[Rows], masks: Rows) -> None:
    if len(masks.shape) != 3:
        raise InputError(f"masks: shape (N, H, W) expected, got {masks.shape}")
    for cell in features:
        if len(cell.shape) != 4 or len(cell) != len(masks):
            raise InputError(
                f"features: maps (N, C, h, w) of {len(masks)} images expected, got shape {cell.shape}; "
                "--pool none gives maps"
            )
