"""From the number that the network is conditioned on to the vector that every residual block receives."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unetdiff.config import TimeConfig

__all__ = ["EmbeddingMLP", "FourierEmbedding", "SinusoidalEmbedding", "time_projection"]

Order = Literal["sin_cos", "cos_sin"]


class SinusoidalEmbedding(nn.Module):
    """Sines and cosines at geometric frequencies (Vaswani et al. 2017, section 3.5).

    With h = channels / 2, frequency i is max_period^(-i / (h - freq_shift)). Shapes: (N,) -> (N, channels).
    """

    def __init__(self, channels: int, order: Order, freq_shift: float = 0.0, max_period: float = 10_000.0) -> None:
        super().__init__()
        self.channels, self.order, self.freq_shift, self.max_period = channels, order, freq_shift, max_period

    def forward(self, values: Tensor) -> Tensor:
        half = self.channels // 2
        exponent = torch.arange(half, dtype=torch.float32, device=values.device) / (half - self.freq_shift)
        angles = values.float()[:, None] * torch.exp(-math.log(self.max_period) * exponent)
        return _waves(angles, self.order)


class FourierEmbedding(nn.Module):
    """Sines and cosines at fixed random frequencies (Tancik et al. 2020), drawn from N(0, scale^2).

    With `log` of the values' logarithms. Shapes: (N,) -> (N, channels). The frequencies are part of the state dict and
    are not trained.
    """

    def __init__(self, channels: int, order: Order, scale: float, log: bool = False) -> None:
        super().__init__()
        self.order, self.log = order, log
        self.weight = nn.Parameter(torch.randn(channels // 2) * scale, requires_grad=False)

    def forward(self, values: Tensor) -> Tensor:
        values = values.float().log() if self.log else values.float()
        return _waves(values[:, None] * self.weight.float() * 2 * math.pi, self.order)


def _waves(angles: Tensor, order: Order) -> Tensor:
    waves = (angles.cos(), angles.sin())
    return torch.cat(waves if order == "cos_sin" else waves[::-1], dim=-1)


def time_projection(config: TimeConfig, channels: int) -> nn.Module:
    """The embedding that a configuration asks for, `channels` wide."""
    if config.kind == "fourier":
        return FourierEmbedding(channels, config.order, config.fourier_scale, config.log)
    return SinusoidalEmbedding(channels, config.order, config.freq_shift, config.max_period)


class EmbeddingMLP(nn.Module):
    """Linear, SiLU, linear: (N, in_channels) -> (N, out_channels); a projection of `condition` is added to x first."""

    def __init__(self, in_channels: int, out_channels: int, condition_channels: int | None = None) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_channels, out_channels)
        self.linear_2 = nn.Linear(out_channels, out_channels)
        if condition_channels is not None:
            self.cond_proj = nn.Linear(condition_channels, in_channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is not None:
            x = x + self.cond_proj(condition)
        hidden: Tensor = self.linear_2(F.silu(self.linear_1(x)))
        return hidden
