"""Packed images as a network sees them: in its range of values, or as latents of its autoencoder."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetdiff.data import DataConfig, PackedDataset
from unetdiff.data.pixels import values
from unetdiff.errors import InputError
from unetdiff.latents import Codec
from unetdiff.model_info import DataInfo

__all__ = ["NetworkImages", "framed"]


def framed(data: DataConfig, size: tuple[int, int], channels: int) -> DataConfig:
    """The data as a network of pictures of this size takes them.

    A square is resized to and cropped as training does it, colour is turned into grey and grey into colour; images for
    a network of any other shape are taken as they are.
    """
    height, width = size
    return DataConfig(
        source=data.source,
        split=data.split,
        size=height if height == width else None,
        channels=channels,
        layout=data.layout,
        columns=data.columns,
        cache=data.cache,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkImages:
    """Images by their rows; a latent is the mean of what the autoencoder makes of a picture."""

    data: PackedDataset
    info: DataInfo
    codec: Codec | None
    device: torch.device

    def __post_init__(self) -> None:
        got, (channels, height, width) = self.data.images.shape[1:], self.info.shape
        if self.codec is not None:
            channels, height, width = 3, height * self.codec.factor, width * self.codec.factor
        if got != (channels, height, width):
            raise InputError(f"data: expected images of the model's shape {(channels, height, width)}, got {got}")

    @torch.no_grad()
    def __call__(self, rows: NDArray[np.int64]) -> Tensor:
        """(N, C, H, W) on the device."""
        images = torch.from_numpy(values(self.data.images[rows])).to(self.device)
        if self.codec is not None:
            return self.codec.encode(images)
        low, high = self.info.value_range
        return (images + 1) * ((high - low) / 2) + low
