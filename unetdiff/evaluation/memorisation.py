"""Whether generated images are copies of training images.

    l(x) = d(x, x_1) / (alpha / n sum_{i <= n} d(x, x_i))

x_1 ... x_n are the n training images nearest to x, nearest first. Where l(x) < 1, x_1 is much closer than its like: x
counts as memorised (Carlini et al. 2023, "Extracting Training Data from Diffusion Models", section 5, with alpha = 1/2
and n = 50). A bound on d alone would accuse every plain image. How often real images that were held out are accused
depends on the data, and says what the share among generated ones means.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from unetdiff.data import PackedDataset
from unetdiff.evaluation.neighbours import Images, nearest

__all__ = ["Closeness", "closeness"]

ALPHA = 0.5
NEIGHBOURS = 50


@dataclass(frozen=True, kw_only=True)
class Closeness:
    """How near N images are to training images.

    Attributes:
        indices: (N,) the nearest training image.
        distances: (N,) root mean square difference to it; 1 is the range of pixels.
        ratios: (N,) l above.
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float64]
    ratios: NDArray[np.float64]

    @property
    def memorised(self) -> NDArray[np.bool_]:
        """(N,) whether each is a copy."""
        copies: NDArray[np.bool_] = self.ratios < 1
        return copies


def closeness(images: Images, training: PackedDataset, device: torch.device | str = "cpu") -> Closeness:
    """Of `images` (N, C, H, W) in the pixels of the training images."""
    found = nearest(images, training.images, min(NEIGHBOURS, len(training)), device)
    typical = found.distances.mean(axis=1)
    # All n are at distance 0 where the training set repeats one image n times: that image is a copy.
    ratios = np.divide(found.distances[:, 0], ALPHA * typical, out=np.zeros_like(typical), where=typical > 0)
    return Closeness(indices=found.indices[:, 0], distances=found.distances[:, 0] / training.white, ratios=ratios)
