"""Halving and doubling the size of a feature map between levels."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unetdiff.config import DownsampleKind, UpsampleKind

__all__ = ["Downsample", "InputResidual", "Upsample", "double", "halve"]

BOX = (1.0, 1.0)


def halve(x: Tensor, taps: Sequence[float] = BOX) -> Tensor:
    """Filter and take every second pixel, (N, C, 2H, 2W) -> (N, C, H, W); two equal taps give the 2x2 mean."""
    if tuple(taps) == BOX:
        return F.avg_pool2d(x, 2)
    return F.conv2d(x, _kernel(x, taps), stride=2, padding=len(taps) // 2 - 1, groups=x.shape[1])


def double(x: Tensor, taps: Sequence[float] = BOX) -> Tensor:
    """Spread the pixels and filter, (N, C, H, W) -> (N, C, 2H, 2W); two equal taps give the nearest neighbour."""
    if tuple(taps) == BOX:
        return F.interpolate(x, scale_factor=2.0, mode="nearest")
    return F.conv_transpose2d(x, 4 * _kernel(x, taps), stride=2, padding=len(taps) // 2 - 1, groups=x.shape[1])


def _kernel(x: Tensor, taps: Sequence[float]) -> Tensor:
    """The separable filter of sum 1, for each channel: (C, 1, K, K)."""
    line = torch.tensor(taps, dtype=x.dtype, device=x.device) / sum(taps)
    return torch.outer(line, line).expand(x.shape[1], 1, -1, -1)


class Downsample(nn.Module):
    """`conv`: 3x3 convolution of stride 2, padded on both sides or (DDPM) at bottom and right; `pool`: 2x2 mean."""

    def __init__(self, channels: int, kind: DownsampleKind, padding: str) -> None:
        super().__init__()
        assert kind != "resnet"
        self.bottom_right = kind == "conv" and padding == "bottom_right"
        if kind == "conv":
            self.conv: nn.Module = nn.Conv2d(channels, channels, 3, stride=2, padding=0 if self.bottom_right else 1)
        else:
            self.conv = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        if self.bottom_right:
            x = F.pad(x, (0, 1, 0, 1))
        out: Tensor = self.conv(x)
        return out


class Upsample(nn.Module):
    """`conv`: nearest neighbour, then 3x3 convolution; `nearest`: without it; `transposed`: 4x4 of stride 2.

    `size`: (height, width) of the result where it is not twice that of x.
    """

    def __init__(self, channels: int, kind: UpsampleKind) -> None:
        super().__init__()
        assert kind != "resnet"
        self.transposed = kind == "transposed"
        if kind == "transposed":
            self.conv: nn.Module = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1)
        elif kind == "conv":
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        else:
            self.conv = nn.Identity()

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        if not self.transposed:
            x = double(x) if size is None else F.interpolate(x, size, mode="nearest")
        out: Tensor = self.conv(x)
        return out


class InputResidual(nn.Module):
    """(x + halve(conv(source))) / sqrt(2): the input joins each level of the encoder (NCSN++, Song et al. 2021).

    Shapes: x (N, channels, H, W), source (N, source_channels, 2H, 2W).
    """

    def __init__(self, source_channels: int, channels: int, taps: Sequence[float]) -> None:
        super().__init__()
        self.taps = tuple(taps)
        # the filter also wants the convolution's values beyond the border
        self.conv = nn.Conv2d(source_channels, channels, 3, padding=len(self.taps) // 2)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        h: Tensor = self.conv(source)
        h = F.conv2d(h, _kernel(h, self.taps), stride=2, groups=h.shape[1])
        return (x + h) * math.sqrt(0.5)
