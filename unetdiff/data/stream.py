"""Training batches as a pure function of (seed, global sample index).

Position p of step s is the global sample g = s * global_batch + p. Epoch e = g // N shows every image once, in an order
drawn from (seed, e). The noise, the noise level, the flip, the dropout of the condition and all that conditions draw
come from generators keyed on (seed, g). So an image sees the same noise whatever the number of ranks, micro-batches and
workers, and a resumed run goes on as if it had never stopped.

Noise levels are stratified over the global batch: u_p = (p + U) / global_batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from unetdiff.data.conditions import PictureCondition, RowCondition
from unetdiff.data.dataset import PackedDataset
from unetdiff.data.keyed import Purpose, keyed
from unetdiff.data.pixels import values

__all__ = ["Batch", "SampleStream"]

ULP = 2.0**-24  # 1 - ULP is the largest float32 below 1


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One micro-batch of one rank.

    Attributes:
        images: (B,C,H,W) float32 in [-1, 1].
        condition: Keywords of a denoiser, a row for each image; the null condition where the draw dropped it.
        noise: (B,C,H,W) float32, standard normal.
        uniform: (B,) float32 inside (0, 1), stratified over the global batch.
    """

    images: Tensor
    condition: Mapping[str, Tensor]
    noise: Tensor
    uniform: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory; DataLoader calls it."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            images=function(self.images),
            condition={name: function(tensor) for name, tensor in self.condition.items()},
            noise=function(self.noise),
            uniform=function(self.uniform),
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
        rows: Sequence[RowCondition] = (),
        pictures: Sequence[PictureCondition] = (),
        dropout: float = 0.0,
    ) -> None:
        """Set up what decides a batch.

        Args:
            data: The images.
            seed: Of all draws.
            global_batch: Images of a step, of all processes.
            steps: How many, counted from `start_step` on.
            start_step: The first one.
            micro_batches: Parts of a process's share.
            rank: This process.
            world_size: How many processes there are.
            flip: Mirror half of the samples.
            rows: Conditions that the data give; one draw drops them all together.
            pictures: Conditions made of the pictures, each of what the one before it leaves; they are never dropped.
            dropout: Share of the samples whose conditions are dropped.
        """
        if seed < 0:
            raise ValueError(f"seed: expected 0 or more, got {seed}")
        if global_batch < 1 or global_batch % (micro_batches * world_size):
            raise ValueError(
                f"global_batch: expected a multiple of {micro_batches} micro-batches x {world_size} processes, "
                f"got {global_batch}"
            )
        self.data = data
        self.seed, self.flip = seed, flip
        self.rows, self.pictures, self.dropout = rows, pictures, dropout
        self.global_batch, self.micro_batches = global_batch, micro_batches
        self.rank, self.world_size = rank, world_size
        self.start_step, self.steps = start_step, steps

    def __len__(self) -> int:
        return self.steps * self.micro_batches

    def __getitem__(self, item: int) -> Batch:
        if not 0 <= item < len(self):
            raise IndexError(item)
        samples = self.samples(item)
        positions = samples % self.global_batch
        draws = [self._draw(sample) for sample in samples.tolist()]
        uniform, dropout, mirror = np.stack([numbers for numbers, _ in draws]).T
        rows = self._rows(samples)
        images, condition = self._pictured(self._images(rows, samples, mirror < 0.5), samples)
        for row_condition in self.rows:
            condition |= row_condition.take(rows, dropout < self.dropout)
        return Batch(
            images=images,
            condition=condition,
            noise=torch.from_numpy(np.stack([noise for _, noise in draws])),
            uniform=_inside((positions + uniform) / self.global_batch),
        )

    def samples(self, item: int) -> NDArray[np.int64]:
        """The global sample index of each row of a batch."""
        step, micro = divmod(item, self.micro_batches)
        share = self.global_batch // (self.micro_batches * self.world_size)
        positions = (micro * self.world_size + self.rank) * share + np.arange(share)
        return (self.start_step + step) * self.global_batch + positions

    def _draw(self, sample: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Three uniform numbers (noise level, dropout, flip) and the noise of one global sample."""
        generator = keyed(self.seed, sample)
        numbers = generator.random(3, dtype=np.float32)
        return numbers, generator.standard_normal(self.data.images.shape[1:], dtype=np.float32)

    def _rows(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which image of the dataset each global sample is."""
        epochs, places = np.divmod(samples, len(self.data))
        orders = (_order(self.seed, epoch, len(self.data)) for epoch in epochs.tolist())
        return np.array([order[place] for order, place in zip(orders, places, strict=True)])

    def _images(self, rows: NDArray[np.int64], samples: NDArray[np.int64], mirror: NDArray[np.bool_]) -> Tensor:
        pixels = self.data.images[rows]
        if self.flip:
            pixels[mirror] = pixels[mirror, ..., ::-1]
        images = values(pixels)
        if self.data.spread is not None:
            draws = (keyed(self.seed, sample, Purpose.LATENT) for sample in samples.tolist())
            noise = [draw.standard_normal(images.shape[1:], dtype=np.float32) for draw in draws]
            images = images + self.data.spread[rows] * np.stack(noise)
        return torch.from_numpy(images)

    def _pictured(self, images: Tensor, samples: NDArray[np.int64]) -> tuple[Tensor, dict[str, Tensor]]:
        """The images as the conditions that are made of them leave them, and what these say."""
        condition: dict[str, Tensor] = {}
        for picture in self.pictures:
            draws = [keyed(self.seed, sample, picture.purpose) for sample in samples.tolist()]
            images, keywords = picture.make(images, draws)
            condition |= keywords
        return images, condition


@lru_cache(maxsize=2)  # a batch may end one epoch and begin the next
def _order(seed: int, epoch: int, images: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(images)


def _inside(uniform: NDArray[np.float64]) -> Tensor:
    """Float32 in the open interval (0, 1): rounding could reach 1, and the quantile function is infinite there."""
    return torch.from_numpy(uniform.clip(ULP, 1 - ULP).astype(np.float32))
