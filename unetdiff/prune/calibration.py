"""What networks are compared on: images with noise, noise levels and conditions, the same for every part.

Triple i of n has the quantile (i + 1/2) / n of the noise levels, so that the set is spread evenly over them.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetdiff.data.keyed import Purpose, keyed
from unetdiff.denoiser import Condition
from unetdiff.plain import require

__all__ = ["Calibration"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """Images x0 and noise eps (N, C, H, W), noise levels sigma and weights (N,), and conditions with a row for each.

    The weights of a whole set sum to one. `batch_size` is how many rows a network is given at a time.
    """

    images: Tensor
    noise: Tensor
    sigma: Tensor
    weight: Tensor
    condition: Condition
    batch_size: int = 64

    def __post_init__(self) -> None:
        count = self.images.shape[0]
        require(count >= 1, "images", "at least 1", count)
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        require(self.noise.shape == self.images.shape, "noise", f"shape {(*self.images.shape,)}", (*self.noise.shape,))
        for name in ("sigma", "weight"):
            shape = getattr(self, name).shape
            require(shape == (count,), name, f"shape {(count,)}", (*shape,))

    @classmethod
    def spread(
        cls,
        images: Tensor,
        rows: NDArray[np.int64],
        condition: Condition,
        quantile: Callable[[Tensor], Tensor],
        *,
        seed: int = 0,
        noise_power: float = 0.0,
        batch_size: int = 64,
    ) -> "Calibration":
        """One noise and one noise level for each image.

        Args:
            images: (N, C, H, W), in the network's range of values, on its device.
            rows: (N,), the index of each image in its data, which its noise belongs to.
            condition: what the network is told, a row for each image.
            quantile: of the noise levels in training: sigma of numbers in (0, 1), as `losses.Objective.sigma`.
            seed: of the noise.
            noise_power: weights are proportional to sigma to this power; 0 is the training's own share of each level.
            batch_size: rows at a time.
        """
        draws = [keyed(seed, int(row), Purpose.PRUNING) for row in rows]
        noise = np.stack([draw.standard_normal(images.shape[1:], dtype=np.float32) for draw in draws])
        sigma = quantile((torch.arange(len(rows)) + 0.5) / len(rows)).float()
        weight = sigma.double() ** noise_power
        return cls(
            images=images,
            noise=torch.from_numpy(noise).to(images),
            sigma=sigma.to(images.device),
            weight=(weight / weight.sum()).to(images.device, torch.float32),
            condition=condition,
            batch_size=batch_size,
        )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def x(self) -> Tensor:
        """The noisy images x0 + sigma eps."""
        return self.images + self.sigma.reshape(-1, 1, 1, 1).to(self.images.dtype) * self.noise

    @property
    def batches(self) -> Iterator["Calibration"]:
        """Its rows, `batch_size` at a time, with their weights in the whole set."""
        for start in range(0, len(self), self.batch_size):
            rows = slice(start, start + self.batch_size)
            yield Calibration(
                images=self.images[rows],
                noise=self.noise[rows],
                sigma=self.sigma[rows],
                weight=self.weight[rows],
                condition=cast(Condition, _sliced(cast("Mapping[str, object]", self.condition), rows)),
                batch_size=self.batch_size,
            )

    @property
    def sha256(self) -> str:
        """Of all numbers in it, with the names of its conditions."""
        digest = hashlib.sha256()
        tensors = {"images": self.images, "noise": self.noise, "sigma": self.sigma, "weight": self.weight}
        for name, tensor in (*tensors.items(), *_tensors(cast("Mapping[str, object]", self.condition))):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def _sliced(condition: Mapping[str, object], rows: slice) -> dict[str, object]:
    return {name: _rows(value, rows) for name, value in condition.items()}


def _rows(value: object, rows: slice) -> object:
    if isinstance(value, Mapping):
        return _sliced(value, rows)
    return value[rows] if isinstance(value, Tensor) else value


def _tensors(condition: Mapping[str, object]) -> Iterator[tuple[str, Tensor]]:
    """In the order of their names."""
    for name, value in sorted(condition.items()):
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", tensor) for inner, tensor in _tensors(value))
        elif isinstance(value, Tensor):
            yield name, value
