"""Halving and doubling the size of a feature map between levels."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Downsample", "Upsample", "double", "halve"]


def halve(x: Tensor) -> Tensor:
    """Mean of each 2x2 block: (N, C, 2H, 2W) -> (N, C, H, W)."""
    return F.avg_pool2d(x, 2)


def double(x: Tensor) -> Tensor:
    """Nearest neighbour: (N, C, H, W) -> (N, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Downsample(nn.Module):
    """`conv`: 3x3 convolution of stride 2, padded on both sides or (DDPM) at bottom and right; `pool`: 2x2 mean."""

    def __init__(
        self, channels: int, kind: Literal["conv", "pool"], padding: Literal["symmetric", "bottom_right"]
    ) -> None:
        super().__init__()
        self.bottom_right = padding == "bottom_right"
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
    """`conv`: nearest neighbour, then 3x3 convolution; `nearest`: without it; `transposed`: 4x4 of stride 2."""

    def __init__(self, channels: int, kind: Literal["conv", "nearest", "transposed"]) -> None:
        super().__init__()
        self.transposed = kind == "transposed"
        if kind == "transposed":
            self.conv: nn.Module = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1)
        elif kind == "conv":
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        else:
            self.conv = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x if self.transposed else double(x))
        return out
