"""The kernel distance as it is usually reported: mean and standard deviation over pairs of small subsets.

Binkowski et al. 2018 (section 4.1) average the unbiased estimate over subsets of generated and of real images, which
keeps its cost linear; 100 subsets of 1,000 images are usual. Subsets of one set overlap, so that the deviation says how
much one subset's number varies and not how well their mean is known.
"""

from dataclasses import dataclass

import numpy as np

from unetdiff.evaluation.distances import Features, KernelDistance
from unetdiff.plain import require

__all__ = ["KernelSubsets"]


@dataclass(frozen=True, kw_only=True)
class KernelSubsets:
    """`count` pairs of subsets of `size` images, or of all where there are fewer; always the same ones."""

    count: int = 100
    size: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.count >= 2, "subsets", "at least 2", self.count)
        require(self.size >= 3, "subset_size", "at least 3 images", self.size)

    def size_of(self, generated: Features, real: Features) -> int:
        """Images in each subset of these two."""
        return min(self.size, len(generated), len(real))

    def __call__(self, generated: Features, real: Features) -> tuple[float, float]:
        """Mean and standard deviation over the subsets."""
        size, generator = self.size_of(generated, real), np.random.default_rng(self.seed)
        values = [
            KernelDistance(real[generator.permutation(len(real))[:size]])(
                generated[generator.permutation(len(generated))[:size]]
            ).value
            for _ in range(self.count)
        ]
        return float(np.mean(values)), float(np.std(values))
