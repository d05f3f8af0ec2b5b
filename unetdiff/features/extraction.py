"""From images to features: one run of the network for each noise level and noise, with all taps read in it.

    h_l(x0, sigma) = mean over k of pool(tap_l(x0 + sigma eps_k, sigma))

A feature map is pooled where it is read, and no node behind the last tap is run. The noise eps_k of an image is keyed
on (seed, index of the image), the same at every noise level: cells differ by what they are, not by their noise.
DDAE (https://arxiv.org/abs/2303.09769); ensembles after DIFT (https://arxiv.org/abs/2306.03881).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unetdiff.data.keyed import Purpose, keyed
from unetdiff.denoiser import Condition, Denoiser
from unetdiff.errors import InputError
from unetdiff.features.capture import capture
from unetdiff.features.cell import Cell
from unetdiff.features.pooling import Pooling
from unetdiff.features.settings import FeatureSettings
from unetdiff.features.store import Values

__all__ = ["Extractor"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Extractor:
    """Reads the features of images (N, *shape) in the network's range of values."""

    denoiser: Denoiser
    shape: tuple[int, int, int]
    settings: FeatureSettings

    def __post_init__(self) -> None:
        for name in self.settings.taps:
            tap = self.denoiser.unet.taps.get(name)
            if tap is None or tap.form == "probabilities":
                raise InputError(f"taps: expected feature maps of this network, got {name}")

    @cached_property
    def pooling(self) -> Pooling:
        """Of every tap."""
        return Pooling(pool=self.settings.pool, aspect=self.shape[1] / self.shape[2])

    @torch.no_grad()
    def __call__(self, images: Tensor, rows: NDArray[np.int64], condition: Condition) -> dict[Cell, Values]:
        """Their features, (N, ...) for each cell, whatever else is in the batch, up to rounding.

        Args:
            images: (N, C, H, W), on the network's device.
            rows: (N,), the index of each image, which its noise belongs to.
            condition: what the network is told, a row for each image.

        Raises:
            InputError: images of another shape, or a feature that is not finite.
        """
        if images.shape[1:] != self.shape:
            raise InputError(f"images: expected the shape {self.shape}, got {tuple(images.shape[1:])}")
        noises = self.noises(rows).to(images.device)
        features: dict[Cell, Tensor] = {}
        with _evaluating(self.denoiser):
            for sigma in self.settings.sigmas:
                runs = [self._run(images + sigma * noise, sigma, condition) for noise in noises]
                features |= {Cell(tap, sigma): _mean([run[tap] for run in runs]) for tap in self.settings.taps}
        return {cell: self._finite(cell, features[cell], rows) for cell in self.settings.cells}

    def noises(self, rows: NDArray[np.int64]) -> Tensor:
        """What is added to the images, (ensemble, N, C, H, W), of standard deviation 1; zeros to clean ones."""
        if not self.settings.noisy:
            return torch.zeros(1, len(rows), 1, 1, 1)
        shape = (self.settings.ensemble, *self.shape)
        draws = (keyed(self.settings.seed, int(row), Purpose.FEATURES) for row in rows)
        return torch.from_numpy(np.stack([draw.standard_normal(shape, dtype=np.float32) for draw in draws], axis=1))

    def _run(self, x: Tensor, sigma: float, condition: Condition) -> dict[str, Tensor]:
        """Pooled feature maps by tap."""
        found: dict[str, Tensor] = {}
        read = {name: partial(self._read, name, found) for name in self.settings.taps}
        *_, last = (name for name in self.denoiser.unet.taps if name in read)
        with capture(self.denoiser.unet, [last], replace=read, stop=True):
            self.denoiser(x, sigma, **condition)
        return found

    def _read(self, name: str, found: dict[str, Tensor], x: Tensor) -> Tensor:
        found[name] = self.pooling(x, self.denoiser.unet.taps[name].form)
        return x

    def _finite(self, cell: Cell, features: Tensor, rows: NDArray[np.int64]) -> Values:
        """The features as they are stored."""
        dtype = self.settings.dtype
        values: Values = features.to(getattr(torch, dtype)).cpu().numpy()
        wrong = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if wrong.any():
            raise InputError(
                f"features: finite numbers in {dtype} expected, got others in {cell}, image {rows[wrong][0]}"
            )
        return values


def _mean(features: list[Tensor]) -> Tensor:
    return features[0] if len(features) == 1 else torch.stack(features).mean(dim=0)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Dropout is off inside; every part is left in the mode that it had."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
