"""Features of sets of images, kept on disk under the hash of the images and of the network that made them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unetdiff.evaluation.generated import BATCH, Rows, kept
from unetdiff.evaluation.image_features import ImageFeatures
from unetdiff.evaluation.image_set import ImageSet

__all__ = ["FeatureSpace"]


@dataclass(frozen=True, kw_only=True)
class FeatureSpace:
    """What makes features, its name, and the folder that keeps them."""

    name: str
    network: ImageFeatures
    folder: Path

    def __call__(self, images: ImageSet, count: int | None = None) -> Rows:
        """(N, F) of all images, or of the first `count`.

        Batches begin at the same images whatever the count, since sums are rounded by the size of a batch.
        """
        wanted = len(images) if count is None else count
        whole = min(-(-wanted // BATCH) * BATCH, len(images))
        path = self.folder / f"{images.key}-{self.network.key}.npy"
        return kept(path, whole, lambda numbers: self._made(images, numbers))[:wanted]

    def _made(self, images: ImageSet, numbers: range) -> Rows:
        features: Rows = self.network(images.pictures(np.array(numbers))).float().cpu().numpy()
        return features
