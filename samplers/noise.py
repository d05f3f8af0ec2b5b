"""Noise that belongs to an image, not to the batch that it happens to be in.

Image i draws from a generator of its own, seeded with its own seed, on the CPU and in float32 whatever the device and
the dtype of the run, so that a seed means the same numbers everywhere.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["PerImageNoise"]


class PerImageNoise:
    """Each call returns the next standard normal draw, (len(seeds), *shape).

    Seeds are what torch takes, 0 to 2**64 - 1. Its CPU generator reads the low 32 bits: seeds that agree in them draw
    the same numbers.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: Sequence[int],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        if len(seeds) == 0:
            raise ValueError("seeds: expected at least one, got none")
        for seed in seeds:
            if not 0 <= seed < 2**64:
                raise ValueError(f"seeds: expected numbers from 0 to 2**64 - 1, got {seed}")
        self.shape = tuple(shape)
        self.dtype = dtype
        self.device = device
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self) -> Tensor:
        """Draw once for every image."""
        draws = torch.empty(len(self._generators), *self.shape)
        for image, generator in enumerate(self._generators):
            draws[image].normal_(generator=generator)
        return draws.to(self.device, self.dtype)
