"""A scale for distances of generated images: those of the real test images under mild blur and noise.

python -m benchmarks.distance_scale

Distances are to the test images as they are, on the features of the shipped classifier. The row of training images is
the floor: what images that are real, but others, have.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import jsonargparse
import numpy as np
import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor
from torch.nn import functional as F

from unetdiff.evaluation.distances import FrechetDistance, KernelDistance
from unetdiff.evaluation.generated import FeatureMaker, Rows

__all__ = ["CHANGES", "main"]

REAL_IMAGES = "fashion-mnist"
BATCH = 500
RADIUS = 4  # of the blur's window, in pixels
Change = Callable[[Tensor, torch.Generator], Tensor]
"""Of (N, C, H, W) images in [-1, 1]."""


def blur(deviation: float) -> Change:
    """Gaussian, with a standard deviation in pixels; edges are mirrored."""
    weights = torch.exp(-torch.arange(-RADIUS, RADIUS + 1).square() / (2 * deviation**2))
    window = torch.outer(weights, weights)[None, None] / weights.sum() ** 2

    def blurred(images: Tensor, _: torch.Generator) -> Tensor:
        padded = F.pad(images, [RADIUS] * 4, mode="reflect")
        return F.conv2d(padded.flatten(0, 1)[:, None], window.to(images)).view_as(images)

    return blurred


def noise(deviation: float) -> Change:
    """Gaussian, with a standard deviation as a share of the range from black to white."""
    return lambda images, draw: images + 2 * deviation * torch.randn(images.shape, generator=draw).to(images)


CHANGES: Mapping[str, Change] = {
    **{f"blur of {deviation:g} pixels": blur(deviation) for deviation in (0.3, 0.5, 0.7, 1.0)},
    **{f"noise of {deviation:.0%}": noise(deviation) for deviation in (0.02, 0.05, 0.1)},
}


def changed(maker: FeatureMaker, change: Change, count: int) -> Rows:
    """Features of the first test images under a change; noise is the same every time."""
    data, draw = maker.real_data("test", REAL_IMAGES), torch.Generator().manual_seed(0)
    end = min(count, len(data))
    batches = (maker.real_images(data, np.arange(start, min(start + BATCH, end))) for start in range(0, end, BATCH))
    return np.concatenate([maker.features(change(images, draw)) for images in batches])


def main(argv: Sequence[str] | None = None) -> None:
    """Print a row for each change."""
    parser = jsonargparse.ArgumentParser(description="Distances of real images under mild blur and noise.")
    parser.add_argument("--images", type=PositiveInt, default=10_000, help="of each split at most")
    parser.add_argument("--folder", type=Path, default=Path("features"), help="keeps features of the unchanged ones")
    options = parser.parse_args(argv)
    maker = FeatureMaker.load()
    test = maker.real("test", REAL_IMAGES, options.folder, options.images)
    frechet, kernel = FrechetDistance(test), KernelDistance(test)
    print("| images | Frechet distance | kernel distance x 1000 |\n|---|--:|--:|")
    training = partial(maker.real, "train", REAL_IMAGES, options.folder, options.images)
    tests = {
        f"test images, {name}": partial(changed, maker, change, options.images) for name, change in CHANGES.items()
    }
    for name, make in {"training images": training, **tests}.items():
        rows = make()
        print(f"| {name} | {frechet.value(rows):.4f} | {1000 * kernel.value(rows):.3f} |", flush=True)


if __name__ == "__main__":
    main()
