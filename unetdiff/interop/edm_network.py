"""EDM's two network classes as their constructor arguments, and the `UNetConfig` that these amount to.

Source: Karras et al. 2022, table 7 and appendix F; the defaults are those of the published classes.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, TimeConfig, UNetConfig
from unetdiff.model_info import JSON
from unetdiff.plain import from_plain, require

__all__ = ["DhariwalUNet", "EDMNetwork", "SongUNet", "edm_network"]

MOST_BLOCKS = 100
"""Of a level; a file may ask for billions, and each is an object."""


@dataclass(frozen=True, kw_only=True)
class EDMNetwork(ABC):
    """The arguments that both classes take; `label_dropout` concerns training only."""

    img_resolution: int
    img_channels: int
    label_dim: int = 0
    augment_dim: int = 0
    model_channels: int
    channel_mult: tuple[int, ...]
    channel_mult_emb: int = 4
    num_blocks: int
    attn_resolutions: tuple[int, ...]
    dropout: float = 0.1
    label_dropout: float = 0.0

    def __post_init__(self) -> None:
        require(len(self.channel_mult) >= 1, "network.channel_mult", "one factor for each level", self.channel_mult)
        require(1 <= self.num_blocks <= MOST_BLOCKS, "network.num_blocks", f"1 to {MOST_BLOCKS}", self.num_blocks)

    @abstractmethod
    def unet_config(self, variance_channels: int = 0) -> UNetConfig:
        """The network as ours, with that many output channels of a learned variance."""

    @property
    @abstractmethod
    def output_blocks(self) -> Mapping[str, str]:
        """EDM's names of the last two nodes."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.model_channels * factor for factor in self.channel_mult)

    def _assembled(
        self,
        variance_channels: int,
        *,
        stem_channels: int,
        input_residual: bool,
        attentions: Sequence[AttentionConfig | None],
        middle: AttentionConfig | None,
        resnet: ResnetConfig,
        time: TimeConfig,
    ) -> UNetConfig:
        """What the classes share, around their own parts; `attentions` are those of levels where there is attention."""
        levels = [
            LevelConfig(
                channels=width,
                depth=self.num_blocks,
                attention=attention if self.img_resolution >> level in self.attn_resolutions else None,
            )
            for level, (width, attention) in enumerate(zip(self.widths, attentions, strict=True))
        ]
        return UNetConfig(
            in_channels=self.img_channels,
            out_channels=self.img_channels + variance_channels,
            variance_channels=variance_channels,
            stem_channels=stem_channels,
            sample_size=(self.img_resolution, self.img_resolution),
            input_residual=input_residual,
            levels=tuple(levels),
            mid=MidConfig(attention=middle),
            resnet=resnet,
            time=time,
            downsample="resnet",
            upsample="resnet",
            num_classes=self.label_dim or None,
            augment_channels=self.augment_dim or None,
        )


@dataclass(frozen=True, kw_only=True)
class SongUNet(EDMNetwork):
    """DDPM++ (positional embedding, standard encoder) and NCSN++ (Fourier, residual) of Song et al. 2021.

    One head of attention after every block of the encoder, but only after the last of the decoder.
    """

    model_channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 2, 2)
    num_blocks: int = 4
    attn_resolutions: tuple[int, ...] = (16,)
    embedding_type: Literal["positional", "fourier"] = "positional"
    channel_mult_noise: int = 1
    encoder_type: Literal["standard", "residual"] = "standard"
    decoder_type: Literal["standard"] = "standard"
    resample_filter: tuple[float, ...] = (1.0, 1.0)

    def unet_config(self, variance_channels: int = 0) -> UNetConfig:
        """Sums scaled by sqrt(1/2), a projection wherever the size changes, labels before the two-layer network."""
        return self._assembled(
            variance_channels,
            stem_channels=self.model_channels,
            input_residual=self.encoder_type == "residual",
            attentions=[AttentionConfig(up_layers=(0,) * self.num_blocks + (1,))] * len(self.widths),
            middle=AttentionConfig(),
            resnet=ResnetConfig(
                residual_scale=math.sqrt(0.5),
                dropout=self.dropout,
                norm_min_channels=4,
                norm_eps=1e-6,
                resample_projection=True,
                resample_filter=self.resample_filter,
            ),
            time=TimeConfig(
                kind="fourier" if self.embedding_type == "fourier" else "sinusoidal",
                channels=self.model_channels * self.channel_mult_noise,
                hidden=self.model_channels * self.channel_mult_emb,
                order="sin_cos",
                freq_shift=1.0,
                labels="before",
            ),
        )

    @property
    def output_blocks(self) -> Mapping[str, str]:
        """They belong to the decoder's finest level."""
        place = f"dec.{self.img_resolution}x{self.img_resolution}"
        return {"conv_norm_out": f"{place}_aux_norm", "conv_out": f"{place}_aux_conv"}


@dataclass(frozen=True, kw_only=True)
class DhariwalUNet(EDMNetwork):
    """ADM of Dhariwal & Nichol 2021: AdaGN, attention in heads of 64 channels after every block of a level."""

    model_channels: int = 192
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    num_blocks: int = 3
    attn_resolutions: tuple[int, ...] = (32, 16, 8)

    def unet_config(self, variance_channels: int = 0) -> UNetConfig:
        """Labels after the two-layer network; floor(width / 64) heads, so no attention below 64 channels."""
        attentions = [AttentionConfig(heads=width // 64) if width >= 64 else None for width in self.widths]
        return self._assembled(
            variance_channels,
            stem_channels=self.widths[0],
            input_residual=False,
            attentions=attentions,
            middle=attentions[-1],
            resnet=ResnetConfig(time_conditioning="scale_shift", dropout=self.dropout, norm_min_channels=4),
            time=TimeConfig(channels=self.model_channels, hidden=self.model_channels * self.channel_mult_emb),
        )

    @property
    def output_blocks(self) -> Mapping[str, str]:
        """They stand behind the decoder."""
        return {"conv_norm_out": "out_norm", "conv_out": "out_conv"}


_NETWORKS: dict[str, type[EDMNetwork]] = {"SongUNet": SongUNet, "DhariwalUNet": DhariwalUNet}


def edm_network(arguments: Mapping[str, JSON]) -> EDMNetwork:
    """The network of a `model_type` and its arguments, EDM's defaults filled in.

    Raises:
        ValueError: another `model_type`, an argument that is unknown or asks for what is not covered; it is named.
    """
    kind = arguments.get("model_type")
    require(kind in _NETWORKS, "network.model_type", f"one of {list(_NETWORKS)}", kind)
    chosen = {name: value for name, value in arguments.items() if name != "model_type"}
    return from_plain(_NETWORKS[str(kind)], chosen, "network")
