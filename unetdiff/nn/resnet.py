"""The residual block of DDPM (Ho et al. 2020), ADM (Dhariwal & Nichol 2021) and EDM (Karras et al. 2022)."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from unetdiff.config import ResnetConfig
from unetdiff.nn.init import zero_
from unetdiff.nn.resample import double, halve
from unetdiff.nn.taps import Tap, tapped

__all__ = ["ResnetBlock"]


class ResnetBlock(nn.Module):
    """h = conv2(silu(norm2(conv1(silu(norm1(x))) | embedding))); out = (shortcut(x) + h) * residual_scale.

    The embedding e is added before norm2, or acts behind it (scale_shift, AdaGN): (1 + scale(e)) * norm2(h) + shift(e).
    conv2 starts at zero. `resample` halves or doubles the size on both paths, before conv1. Skip-tuning inside the
    block: `shortcut_scale` multiplies the shortcut's input, `norm_scale` the output of norm1. `inside` is the
    width of h between the convolutions (null: out_channels); norm2's groups have the size that is due to out_channels.

    Shapes: x (N, in_channels, H, W), embedding (N, embedding_channels), already through its SiLU, scales
    (1 or N, in_channels, 1, 1).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding_channels: int,
        config: ResnetConfig,
        resample: Literal["down", "up"] | None = None,
        inside: int | None = None,
    ) -> None:
        super().__init__()
        inside = out_channels if inside is None else inside
        groups = config.groups(out_channels) * inside // out_channels
        self.scale_shift = config.time_conditioning == "scale_shift"
        self.residual_scale = config.residual_scale
        self.resample, self.taps = resample, config.resample_filter
        self.norm1 = nn.GroupNorm(config.groups(in_channels), in_channels, config.norm_eps)
        self.conv1 = nn.Conv2d(in_channels, inside, 3, padding=1)
        self.time_emb_proj = nn.Linear(embedding_channels, inside * (2 if self.scale_shift else 1))
        self.norm2 = nn.GroupNorm(groups, inside, config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = nn.Conv2d(inside, out_channels, 3, padding=1)
        zero_(self.conv2)
        projected = in_channels != out_channels or (resample is not None and config.resample_projection)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if projected else None

    def forward(
        self,
        x: Tensor,
        embedding: Tensor,
        shortcut_scale: Tensor | None = None,
        norm_scale: Tensor | None = None,
        tap: Tap | None = None,
    ) -> Tensor:
        h: Tensor = self.norm1(x)
        h = F.silu(h if norm_scale is None else h * norm_scale)
        x = x if shortcut_scale is None else x * shortcut_scale
        if self.resample is not None:
            resize = halve if self.resample == "down" else double
            x, h = resize(x, self.taps), resize(h, self.taps)
        h = self.conv1(h)
        projected = self.time_emb_proj(embedding)[:, :, None, None]
        if self.scale_shift:
            scale, shift = projected.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + projected)
        h = tapped(tap, "residual", self.conv2(self.dropout(F.silu(h))))
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        h = x + h
        return h * self.residual_scale if self.residual_scale != 1 else h
