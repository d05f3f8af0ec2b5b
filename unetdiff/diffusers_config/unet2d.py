"""diffusers' `UNet2DModel`: DDPM, DDIM, ADM and consistency models without text."""

from dataclasses import dataclass

from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, TimeConfig, UNetConfig
from unetdiff.diffusers_config.levels import Block, LevelBlocks, Resample, block, levels, mirrored
from unetdiff.plain import require

__all__ = ["UNet2DModel"]


@dataclass(frozen=True, kw_only=True)
class UNet2DModel:
    """Its fields, with its defaults."""

    sample_size: int | tuple[int, int] | None = None
    in_channels: int = 3
    out_channels: int = 3
    center_input_sample: bool = False
    time_embedding_type: str = "positional"
    time_embedding_dim: int | None = None
    freq_shift: float = 0.0
    flip_sin_to_cos: bool = True
    down_block_types: tuple[str, ...] = ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D")
    mid_block_type: str | None = "UNetMidBlock2D"
    up_block_types: tuple[str, ...] = ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D")
    block_out_channels: tuple[int, ...] = (224, 448, 672, 896)
    layers_per_block: int = 2
    mid_block_scale_factor: float = 1.0
    downsample_padding: int = 1
    downsample_type: str | None = "conv"
    upsample_type: str | None = "conv"
    dropout: float = 0.0
    act_fn: str = "silu"
    attention_head_dim: int | None = 8
    norm_num_groups: int | None = 32
    attn_norm_num_groups: int | None = None
    norm_eps: float = 1e-5
    resnet_time_scale_shift: str = "default"
    add_attention: bool = True
    class_embed_type: str | None = None
    num_class_embeds: int | None = None
    num_train_timesteps: int | None = None

    def __post_init__(self) -> None:
        require(not self.center_input_sample, "center_input_sample", "false", self.center_input_sample)
        require(self.act_fn in ("silu", "swish"), "act_fn", "silu or swish", self.act_fn)
        require(self.norm_num_groups is not None, "norm_num_groups", "a number", self.norm_num_groups)
        for field, allowed in (
            ("time_embedding_type", ("positional", "fourier")),
            ("mid_block_type", ("UNetMidBlock2D", None)),
            ("downsample_padding", (0, 1)),
            ("downsample_type", ("conv", "resnet", None)),
            ("upsample_type", ("conv", "resnet", None)),
            ("resnet_time_scale_shift", ("default", "scale_shift")),
            ("class_embed_type", (None, "timestep", "identity")),
        ):
            value = getattr(self, field)
            require(value in allowed, field, f"one of {allowed}", value)
        for field in ("down_block_types", "up_block_types"):
            mirrored(getattr(self, field), field, len(self.block_out_channels))

    def to_unet(self) -> UNetConfig:
        """The same network in our terms."""
        fourier = self.time_embedding_type == "fourier"
        classes = self.num_class_embeds if self.class_embed_type is None else None
        return UNetConfig(
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            variance_channels=self.in_channels if self.out_channels == 2 * self.in_channels else 0,
            sample_size=self.sample_size,
            levels=self._levels(),
            mid=None if self.mid_block_type is None else self._mid(),
            resnet=self._resnet(),
            time=self._fourier_time() if fourier else self._time(),
            divide_by_timestep=fourier,
            downsample=self._resample(self.downsample_type),
            upsample=self._resample(self.upsample_type),
            downsample_padding="bottom_right" if self.downsample_padding == 0 else "symmetric",
            num_classes=classes,
            class_projection=self.class_embed_type,  # type: ignore[arg-type]  # checked above
        )

    def _levels(self) -> tuple[LevelConfig, ...]:
        down, up = self._resample(self.downsample_type), self._resample(self.upsample_type)
        down_types = {
            "DownBlock2D": Block(attention=False, resample="conv"),
            "ResnetDownsampleBlock2D": Block(attention=False, resample="resnet"),
            "AttnDownBlock2D": Block(attention=True, resample=down),
        }
        up_types = {
            "UpBlock2D": Block(attention=False, resample="conv"),
            "ResnetUpsampleBlock2D": Block(attention=False, resample="resnet"),
            "AttnUpBlock2D": Block(attention=True, resample=up),
        }
        depth = self.layers_per_block
        blocks = []
        for channels, down_name, up_name in zip(
            self.block_out_channels, self.down_block_types, reversed(self.up_block_types), strict=True
        ):
            down_block = block(down_types, down_name, "down_block_types")
            up_block = block(up_types, up_name, "up_block_types")
            blocks.append(
                LevelBlocks(
                    channels=channels,
                    down=down_block,
                    up=up_block,
                    down_layers=(int(down_block.attention),) * depth,
                    up_layers=(int(up_block.attention),) * (depth + 1),
                    attention=AttentionConfig(head_channels=self.attention_head_dim),
                )
            )
        return levels(blocks, down, up)

    def _mid(self) -> MidConfig:
        groups = self.attn_norm_num_groups
        if groups is None and self.resnet_time_scale_shift == "scale_shift":
            groups = 0
        own = None if groups == self.norm_num_groups else groups
        attention = AttentionConfig(head_channels=self.attention_head_dim, norm_groups=own)
        scale = None if self.mid_block_scale_factor == 1 else 1 / self.mid_block_scale_factor
        return MidConfig(attention=attention if self.add_attention else None, residual_scale=scale)

    def _resnet(self) -> ResnetConfig:
        assert self.norm_num_groups is not None
        return ResnetConfig(
            time_conditioning="add" if self.resnet_time_scale_shift == "default" else "scale_shift",
            dropout=self.dropout,
            norm_groups=self.norm_num_groups,
            norm_eps=self.norm_eps,
        )

    def _time(self) -> TimeConfig:
        order = "cos_sin" if self.flip_sin_to_cos else "sin_cos"
        return TimeConfig(hidden=self.time_embedding_dim, order=order, freq_shift=self.freq_shift)  # type: ignore[arg-type]

    def _fourier_time(self) -> TimeConfig:
        """Frequencies of ln t, sines first whatever `flip_sin_to_cos` says."""
        width = self.block_out_channels[0]
        hidden = self.time_embedding_dim or 4 * width
        return TimeConfig(kind="fourier", channels=2 * width, hidden=hidden, order="sin_cos", log=True)

    @staticmethod
    def _resample(kind: str | None) -> Resample:
        return "resnet" if kind == "resnet" else "conv"
