"""All cells of all images of a split, from the network into a store."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetdiff.features.cell import Cell
from unetdiff.features.extraction import Extractor
from unetdiff.features.manifest import Manifest, row_bytes
from unetdiff.features.network_images import NetworkImages
from unetdiff.features.store import Values
from unetdiff.features.store_writer import StoreWriter
from unetdiff.features.told import Told

__all__ = ["Sweep"]

SHARD_IMAGES = 1000
SHARD_BYTES = 2**26  # that are in memory until a file is written


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """What is extracted of which images; a batch lies within a file, so that nothing depends on who writes it."""

    extractor: Extractor
    images: NetworkImages
    told: Told

    def features(self, rows: NDArray[np.int64]) -> dict[Cell, Values]:
        """Of some images."""
        return self.extractor(self.images(rows), rows, self.told(rows))

    def manifest(self, weights: str, split: str) -> Manifest:
        """What the store will hold; the first image is extracted to see it."""
        settings, data = self.extractor.settings, self.images.data
        first, sigma = self.features(np.arange(1)), settings.sigmas[0]
        shapes = tuple(first[Cell(tap, sigma)].shape[1:] for tap in settings.taps)
        bytes_each = row_bytes(shapes, settings)
        channels, height, width = self.extractor.shape
        return Manifest(
            weights=weights,
            settings=settings,
            shapes=shapes,
            size=(height, width),
            channels=channels,
            value_range=self.images.info.value_range,
            data=data.fingerprint,
            split=split,
            images=len(data),
            classes=data.classes,
            shard_images=max(1, min(SHARD_IMAGES, SHARD_BYTES // bytes_each)),
        )

    def fill(
        self, writer: StoreWriter, names: Iterable[str], batch_size: int, done: Callable[[int], object] = int
    ) -> None:
        """Write the files of these names; `done` is told the number of images of each batch."""
        manifest = writer.manifest
        for name in names:
            rows = manifest.shards[name]
            shard: dict[Cell, Values] = {
                cell: np.empty((len(rows), *shape), self.extractor.settings.dtype)
                for cell, shape in manifest.row_shapes.items()
            }
            for start in range(0, len(rows), batch_size):
                batch = np.arange(rows.start, rows.stop)[start : start + batch_size]
                for cell, values in self.features(batch).items():
                    shard[cell][start : start + len(batch)] = values
                done(len(batch))
            writer.write(name, shard)
