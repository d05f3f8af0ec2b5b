"""diffusers' `UNet2DConditionModel`: Stable Diffusion 1, 2 and XL with the networks distilled from them."""

from dataclasses import dataclass
from typing import Literal, TypeVar

from unetdiff.config import AttentionConfig, MidConfig, ResnetConfig, TimeConfig, UNetConfig
from unetdiff.diffusers_config.levels import Block, LevelBlocks, block, levels, mirrored
from unetdiff.plain import require

__all__ = ["UNet2DConditionModel"]

DOWN = {
    "DownBlock2D": Block(attention=False, resample="conv"),
    "CrossAttnDownBlock2D": Block(attention=True, resample="conv"),
    "ResnetDownsampleBlock2D": Block(attention=False, resample="resnet"),
}
UP = {
    "UpBlock2D": Block(attention=False, resample="conv"),
    "CrossAttnUpBlock2D": Block(attention=True, resample="conv"),
    "ResnetUpsampleBlock2D": Block(attention=False, resample="resnet"),
}
CLASS_PROJECTION: dict[str | None, Literal["timestep", "mlp", "linear", "identity"] | None] = {
    None: None,
    "timestep": "timestep",
    "projection": "mlp",
    "simple_projection": "linear",
    "identity": "identity",
}
# Fields that change the network, with the only value that is covered.
FIXED: dict[str, object] = {
    "center_input_sample": False,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "num_attention_heads": None,
    "dual_cross_attention": False,
    "resnet_skip_time_act": False,
    "resnet_out_scale_factor": 1.0,
    "time_embedding_act_fn": None,
    "timestep_post_act": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "attention_type": "default",
    "class_embeddings_concat": False,
    "cross_attention_norm": None,
}
CHOICES: dict[str, tuple[object, ...]] = {
    "act_fn": ("silu", "swish"),
    "time_embedding_type": ("positional", "fourier"),
    "mid_block_type": ("UNetMidBlock2DCrossAttn", "UNetMidBlock2D", None),
    "downsample_padding": (0, 1),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "class_embed_type": tuple(CLASS_PROJECTION),
    "addition_embed_type": (None, "text_time"),
}

PerBlock = int | tuple[int, ...]  # one number for all residual blocks of a level, or one for each
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class UNet2DConditionModel:
    """Its fields, with its defaults. `attention_head_dim` is the number of heads, in spite of its name."""

    sample_size: int | tuple[int, int] | None = None
    in_channels: int = 4
    out_channels: int = 4
    center_input_sample: bool = False
    flip_sin_to_cos: bool = True
    freq_shift: float = 0.0
    down_block_types: tuple[str, ...] = (
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "DownBlock2D",
    )
    mid_block_type: str | None = "UNetMidBlock2DCrossAttn"
    up_block_types: tuple[str, ...] = ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D")
    only_cross_attention: bool | tuple[bool, ...] = False
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int | tuple[int, ...] = 2
    downsample_padding: int = 1
    mid_block_scale_factor: float = 1.0
    dropout: float = 0.0
    act_fn: str = "silu"
    norm_num_groups: int | None = 32
    norm_eps: float = 1e-5
    cross_attention_dim: int | tuple[int, ...] = 1280
    transformer_layers_per_block: int | tuple[PerBlock, ...] = 1
    reverse_transformer_layers_per_block: tuple[PerBlock, ...] | None = None
    encoder_hid_dim: int | None = None
    encoder_hid_dim_type: str | None = None
    attention_head_dim: int | tuple[int, ...] = 8
    num_attention_heads: int | tuple[int, ...] | None = None
    dual_cross_attention: bool = False
    use_linear_projection: bool = False
    class_embed_type: str | None = None
    addition_embed_type: str | None = None
    addition_time_embed_dim: int | None = None
    num_class_embeds: int | None = None
    upcast_attention: bool | None = False
    resnet_time_scale_shift: str = "default"
    resnet_skip_time_act: bool = False
    resnet_out_scale_factor: float = 1.0
    time_embedding_type: str = "positional"
    time_embedding_dim: int | None = None
    time_embedding_act_fn: str | None = None
    timestep_post_act: str | None = None
    time_cond_proj_dim: int | None = None
    conv_in_kernel: int = 3
    conv_out_kernel: int = 3
    projection_class_embeddings_input_dim: int | None = None
    attention_type: str = "default"
    class_embeddings_concat: bool = False
    mid_block_only_cross_attention: bool | None = None
    cross_attention_norm: str | None = None
    addition_embed_type_num_heads: int = 64

    def __post_init__(self) -> None:
        for field, only in FIXED.items():
            require(getattr(self, field) == only, field, repr(only), getattr(self, field))
        for field, allowed in CHOICES.items():
            require(getattr(self, field) in allowed, field, f"one of {allowed}", getattr(self, field))
        require(self.norm_num_groups is not None, "norm_num_groups", "a number", self.norm_num_groups)
        for field in (
            "down_block_types",
            "up_block_types",
            "only_cross_attention",
            "layers_per_block",
            "cross_attention_dim",
            "transformer_layers_per_block",
            "reverse_transformer_layers_per_block",
            "attention_head_dim",
        ):
            value = getattr(self, field)
            if isinstance(value, tuple):
                mirrored(value, field, len(self.block_out_channels))
        widths = self._per_level(self.cross_attention_dim)
        require(len(set(widths)) == 1, "cross_attention_dim", "one width for all levels", self.cross_attention_dim)

    def to_unet(self) -> UNetConfig:
        """The same network in our terms."""
        blocks = self._blocks()
        upsamplers = {level.up.resample for level in blocks[1:]}
        vector = self.addition_embed_type == "text_time"
        projected = self.class_embed_type in ("projection", "simple_projection")
        width = self.projection_class_embeddings_input_dim
        return UNetConfig(
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            concat_channels=max(self.in_channels - self.out_channels, 0),
            sample_size=self.sample_size,
            odd_sizes="pad" if "resnet" in upsamplers else "match_skips",
            levels=levels(blocks, "conv", "conv"),
            mid=None if self.mid_block_type is None else self._mid(),
            resnet=self._resnet(),
            time=self._time(),
            downsample_padding="bottom_right" if self.downsample_padding == 0 else "symmetric",
            num_classes=self.num_class_embeds if self.class_embed_type is None else None,
            class_projection=CLASS_PROJECTION[self.class_embed_type],
            class_channels=width if projected else None,
            vector_channels=width if vector else None,
            vector_time_channels=self.addition_time_embed_dim if vector else None,
            cross_attention_dim=self._per_level(self.cross_attention_dim)[0],
        )

    def _blocks(self) -> list[LevelBlocks]:
        depths = self._per_level(self.layers_per_block)
        heads = self._per_level(self.attention_head_dim)
        only_cross = self._per_level(self.only_cross_attention)
        down_layers = self._transformer_layers()
        up_layers = self.reverse_transformer_layers_per_block or down_layers[::-1]
        blocks = []
        for index, channels in enumerate(self.block_out_channels):
            mirror = len(self.block_out_channels) - 1 - index
            down = block(DOWN, self.down_block_types[index], "down_block_types")
            up = block(UP, self.up_block_types[mirror], "up_block_types")
            layers = _spread(down_layers[index], depths[index], "transformer_layers_per_block")
            layers_up = _spread(up_layers[mirror], depths[index] + 1, "reverse_transformer_layers_per_block")
            blocks.append(
                LevelBlocks(
                    channels=channels,
                    down=down,
                    up=up,
                    down_layers=layers if down.attention else (0,) * len(layers),
                    up_layers=layers_up if up.attention else (0,) * len(layers_up),
                    attention=self._attention(heads[index], only_cross[index]),
                )
            )
        return blocks

    def _attention(self, heads: int, only_cross: bool, layers: int = 1) -> AttentionConfig:
        return AttentionConfig(
            kind="transformer",
            heads=heads,
            layers=layers,
            linear_projection=self.use_linear_projection,
            only_cross=only_cross,
        )

    def _mid(self) -> MidConfig:
        scale = None if self.mid_block_scale_factor == 1 else 1 / self.mid_block_scale_factor
        if self.mid_block_type == "UNetMidBlock2D":
            return MidConfig(depth=0, residual_scale=scale)
        layers = self._transformer_layers()[-1]
        heads = self._per_level(self.attention_head_dim)[-1]
        attention = self._attention(heads, False, layers if isinstance(layers, int) else layers[0])
        return MidConfig(attention=attention, residual_scale=scale)

    def _resnet(self) -> ResnetConfig:
        assert self.norm_num_groups is not None
        return ResnetConfig(
            time_conditioning="add" if self.resnet_time_scale_shift == "default" else "scale_shift",
            dropout=self.dropout,
            norm_groups=self.norm_num_groups,
            norm_eps=self.norm_eps,
        )

    def _time(self) -> TimeConfig:
        order: Literal["cos_sin", "sin_cos"] = "cos_sin" if self.flip_sin_to_cos else "sin_cos"
        if self.time_embedding_type == "fourier":
            width = self.time_embedding_dim or 2 * self.block_out_channels[0]
            return TimeConfig(
                kind="fourier",
                channels=width,
                hidden=width,
                order=order,
                freq_shift=self.freq_shift,
                fourier_scale=1.0,
                cond_channels=self.time_cond_proj_dim,
            )
        return TimeConfig(
            hidden=self.time_embedding_dim,
            order=order,
            freq_shift=self.freq_shift,
            cond_channels=self.time_cond_proj_dim,
        )

    def _transformer_layers(self) -> tuple[PerBlock, ...]:
        layers = self.transformer_layers_per_block
        return layers if isinstance(layers, tuple) else (layers,) * len(self.block_out_channels)

    def _per_level(self, value: T | tuple[T, ...]) -> tuple[T, ...]:
        """One entry for each level, finest first."""
        return value if isinstance(value, tuple) else (value,) * len(self.block_out_channels)


def _spread(layers: PerBlock, blocks: int, field: str) -> tuple[int, ...]:
    """One number of layers for each residual block."""
    if isinstance(layers, int):
        return (layers,) * blocks
    require(len(layers) == blocks, field, f"{blocks} entries, one per block", layers)
    return layers
