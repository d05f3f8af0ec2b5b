"""Training batches as a pure function of (seed, global sample index).

Position p of step s is the global sample g = s * global_batch + p. Epoch e = g // N shows every image once, in an order
drawn from (seed, e). The noise, the noise level, the class dropout and the flip of sample g come from a counter-based
generator (Philox) whose key is (seed, g). So an image sees the same noise whatever the number of ranks, micro-batches
and workers, and a resumed run goes on as if it had never stopped.

Noise levels are stratified over the global batch: u_p = (p + U) / global_batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from unetdiff.data.dataset import PackedDataset

__all__ = ["Batch", "SampleStream"]

ULP = 2.0**-24  # 1 - ULP is the largest float32 below 1


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One micro-batch of one rank.

    Attributes:
        images: (B,C,H,W) float32 in [-1, 1].
        labels: (B,) int64, or None without classes.
        noise: (B,C,H,W) float32, standard normal.
        uniform: (B,) float32 inside (0, 1), stratified over the global batch.
        dropout: (B,) float32, uniform in [0, 1).
    """

    images: Tensor
    labels: Tensor | None
    noise: Tensor
    uniform: Tensor
    dropout: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory; DataLoader calls it."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            images=function(self.images),
            labels=None if self.labels is None else function(self.labels),
            noise=function(self.noise),
            uniform=function(self.uniform),
            dropout=function(self.dropout),
        )


class SampleStream(Dataset[Batch]):
    """The batches of one rank: item i is micro-batch i % micro_batches of step start_step + i // micro_batches.

    For `DataLoader(stream, batch_size=None, num_workers=n)`, which prefetches items in order. Rank r of W takes, in
    micro-batch m, the b = global_batch / (micro_batches * W) positions from (m * W + r) * b on.
    """

    def __init__(
        self,
        data: PackedDataset,
        *,
        seed: int,
        global_batch: int,
        steps: int,
        start_step: int = 0,
        micro_batches: int = 1,
        rank: int = 0,
        world_size: int = 1,
        flip: bool = False,
    ) -> None:
        """`steps` counts from `start_step` on; `flip` mirrors half of the samples."""
        if seed < 0:
            raise ValueError(f"seed: expected 0 or more, got {seed}")
        if global_batch < 1 or global_batch % (micro_batches * world_size):
            raise ValueError(
                f"global_batch: expected a multiple of {micro_batches} micro-batches x {world_size} processes, "
                f"got {global_batch}"
            )
        self.data = data
        self.seed, self.flip = seed, flip
        self.global_batch, self.micro_batches = global_batch, micro_batches
        self.rank, self.world_size = rank, world_size
        self.start_step, self.steps = start_step, steps

    def __len__(self) -> int:
        return self.steps * self.micro_batches

    def __getitem__(self, item: int) -> Batch:
        if not 0 <= item < len(self):
            raise IndexError(item)
        step, micro = divmod(item, self.micro_batches)
        rows = self.global_batch // (self.micro_batches * self.world_size)
        positions = (micro * self.world_size + self.rank) * rows + np.arange(rows)
        samples = (self.start_step + step) * self.global_batch + positions
        draws = [self._draw(sample) for sample in samples.tolist()]
        uniform, dropout, mirror = np.stack([numbers for numbers, _ in draws]).T
        images, labels = self._take(samples, mirror < 0.5)
        return Batch(
            images=images,
            labels=labels,
            noise=torch.from_numpy(np.stack([noise for _, noise in draws])),
            uniform=_inside((positions + uniform) / self.global_batch),
            dropout=torch.from_numpy(dropout.copy()),
        )

    def _draw(self, sample: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Three uniform numbers (noise level, dropout, flip) and the noise of one global sample."""
        generator = np.random.Generator(np.random.Philox(key=np.array([self.seed, sample], dtype=np.uint64)))
        numbers = generator.random(3, dtype=np.float32)
        return numbers, generator.standard_normal(self.data.images.shape[1:], dtype=np.float32)

    def _take(self, samples: NDArray[np.int64], mirror: NDArray[np.bool_]) -> tuple[Tensor, Tensor | None]:
        epochs, places = np.divmod(samples, len(self.data))
        rows = [_order(self.seed, int(e), len(self.data))[i] for e, i in zip(epochs, places, strict=True)]
        pixels = self.data.images[rows]
        if self.flip:
            pixels[mirror] = pixels[mirror, ..., ::-1]
        images = torch.from_numpy(pixels.astype(np.float32) / (self.data.white / 2) - 1)
        return images, None if self.data.labels is None else torch.from_numpy(self.data.labels[rows])


@lru_cache(maxsize=2)  # a batch may end one epoch and begin the next
def _order(seed: int, epoch: int, images: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(images)


def _inside(uniform: NDArray[np.float64]) -> Tensor:
    """Float32 in the open interval (0, 1): rounding could reach 1, and the quantile function is infinite there."""
    return torch.from_numpy(uniform.clip(ULP, 1 - ULP).astype(np.float32))
