"""What a U-Net is, as data: `UNetConfig` says everything about the network, `unetdiff.nodes` lists it row by row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from unetdiff.nodes import Node, layout
from unetdiff.plain import from_plain, require, to_plain

__all__ = ["AttentionConfig", "LevelConfig", "MidConfig", "ResnetConfig", "TimeConfig", "UNetConfig"]


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Attention after the residual blocks of a level, or in the middle.

    `kind="attention"` is one self-attention over positions (DDPM, EDM, ADM); `"transformer"` is a stack of `layers`
    blocks of self-attention, cross-attention (where the network has `cross_attention_dim`) and GEGLU feed-forward
    (Stable Diffusion). Give `heads` or `head_channels`, not both; neither means one head. `down_layers` and `up_layers`
    override `layers` block by block, 0 leaving a block without attention.
    """

    kind: Literal["attention", "transformer"] = "attention"
    heads: int | None = None
    head_channels: int | None = None
    layers: int = 1
    down_layers: tuple[int, ...] | None = None
    up_layers: tuple[int, ...] | None = None
    linear_projection: bool = False

    def __post_init__(self) -> None:
        require(self.heads is None or self.head_channels is None, "attention", "heads or head_channels, not both", self)
        for field in ("heads", "head_channels"):
            value = getattr(self, field)
            require(value is None or value >= 1, f"attention.{field}", "a positive number or null", value)
        most = 1 if self.kind == "attention" else None
        for layers in (self.layers, *(self.down_layers or ()), *(self.up_layers or ())):
            fits = layers >= 0 and (most is None or layers <= most)
            require(fits, "attention.layers", "0 or 1" if most else "0 or more", layers)

    def heads_for(self, channels: int) -> int:
        """Number of heads at this width."""
        heads = self.heads or (1 if self.head_channels is None else channels // self.head_channels)
        require(heads >= 1 and channels % heads == 0, "attention", f"heads that divide {channels} channels", self)
        require(
            self.head_channels is None or heads * self.head_channels == channels,
            "attention.head_channels",
            f"a divisor of {channels}",
            self.head_channels,
        )
        return heads


@dataclass(frozen=True, kw_only=True)
class LevelConfig:
    """One resolution: `depth` residual blocks in the encoder and `depth + 1` in the decoder, all `channels` wide."""

    channels: int
    depth: int = 2
    attention: AttentionConfig | None = None

    def __post_init__(self) -> None:
        require(self.channels >= 1, "levels.channels", "a positive number", self.channels)
        require(self.depth >= 1, "levels.depth", "a positive number", self.depth)
        if self.attention is not None:
            self.attention.heads_for(self.channels)
            for field, blocks in (("down_layers", self.depth), ("up_layers", self.depth + 1)):
                layers = getattr(self.attention, field)
                require(
                    layers is None or len(layers) == blocks,
                    f"levels.attention.{field}",
                    f"{blocks} entries, one per block",
                    layers,
                )

    def layers(self, side: Literal["down", "up"]) -> tuple[int, ...]:
        """Attention layers after each residual block of one side; 0 is none."""
        blocks = self.depth + (side == "up")
        if self.attention is None:
            return (0,) * blocks
        given = self.attention.down_layers if side == "down" else self.attention.up_layers
        return (self.attention.layers,) * blocks if given is None else given


@dataclass(frozen=True, kw_only=True)
class MidConfig:
    """The middle: one residual block, then `depth` times attention (if any) and a residual block."""

    depth: int = 1
    attention: AttentionConfig | None = None

    def __post_init__(self) -> None:
        require(self.depth >= 0, "mid.depth", "0 or more", self.depth)


@dataclass(frozen=True, kw_only=True)
class ResnetConfig:
    """What all residual blocks share.

    `time_conditioning`: the embedding is added between the convolutions, or scales and shifts the second norm (AdaGN).
    `residual_scale` multiplies the sum of branch and shortcut (EDM: sqrt(1/2)), also of attention. GroupNorm has
    `min(norm_groups, channels // norm_min_channels)` groups. `resample_projection` gives resampling residual blocks a
    1x1 shortcut also where the width stays (DDPM++).
    """

    time_conditioning: Literal["add", "scale_shift"] = "add"
    residual_scale: float = 1.0
    dropout: float = 0.0
    norm_groups: int = 32
    norm_min_channels: int = 1
    norm_eps: float = 1e-5
    resample_projection: bool = False

    def __post_init__(self) -> None:
        require(0 <= self.dropout < 1, "resnet.dropout", "a probability below 1", self.dropout)
        require(self.residual_scale > 0, "resnet.residual_scale", "a positive number", self.residual_scale)
        require(self.norm_groups >= 1, "resnet.norm_groups", "a positive number", self.norm_groups)
        require(self.norm_min_channels >= 1, "resnet.norm_min_channels", "a positive number", self.norm_min_channels)

    def groups(self, channels: int) -> int:
        """GroupNorm groups at this width."""
        groups = max(min(self.norm_groups, channels // self.norm_min_channels), 1)
        require(channels % groups == 0, "resnet.norm_groups", f"a number of groups that divides {channels}", groups)
        return groups


@dataclass(frozen=True, kw_only=True)
class TimeConfig:
    """How the number that the network is conditioned on becomes a vector.

    Sinusoidal: frequencies max_period^(-i / (half - freq_shift)), cosines first or sines first. Fourier: random
    frequencies of standard deviation `fourier_scale`. Then a two-layer network of width `hidden` (null: 4 times the
    embedding). `labels` says where class and vector embeddings join: after that network (ADM) or before it (DDPM++).
    """

    kind: Literal["sinusoidal", "fourier"] = "sinusoidal"
    channels: int | None = None
    hidden: int | None = None
    order: Literal["sin_cos", "cos_sin"] = "cos_sin"
    freq_shift: float = 0.0
    max_period: float = 10_000.0
    fourier_scale: float = 16.0
    labels: Literal["after", "before"] = "after"

    def __post_init__(self) -> None:
        even = self.channels is None or (self.channels >= 2 and self.channels % 2 == 0)
        require(even, "time.channels", "an even number or null", self.channels)
        require(self.hidden is None or self.hidden >= 1, "time.hidden", "a positive number or null", self.hidden)


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """A time-conditioned U-Net, from the outermost (finest) level to the innermost.

    `in_channels` counts what `conv_in` takes: the noisy image and `concat_channels` of a conditioning image;
    `stem_channels` is the width it gives (null: the finest level's). `num_classes`: class index; index -1 is the null
    class, which adds nothing. `vector_channels`: a continuous vector; with `vector_time_channels` (SDXL) it is a text
    embedding followed by that many sinusoidal channels per size number. `cross_attention_dim`: width of
    `encoder_hidden_states`. `sample_size` is the (height, width) it was made for: information only, since the network
    takes any size.
    """

    in_channels: int = 3
    out_channels: int = 3
    sample_size: tuple[int, int] | None = None
    stem_channels: int | None = None
    levels: tuple[LevelConfig, ...] = (LevelConfig(channels=64), LevelConfig(channels=128))
    mid: MidConfig | None = MidConfig()
    resnet: ResnetConfig = ResnetConfig()
    time: TimeConfig = TimeConfig()
    downsample: Literal["conv", "pool", "resnet"] = "conv"
    upsample: Literal["conv", "nearest", "transposed", "resnet"] = "conv"
    downsample_padding: Literal["symmetric", "bottom_right"] = "symmetric"
    num_classes: int | None = None
    vector_channels: int | None = None
    vector_time_channels: int | None = None
    cross_attention_dim: int | None = None
    concat_channels: int = 0

    def __post_init__(self) -> None:
        require(len(self.levels) >= 1, "levels", "at least one level", self.levels)
        require(self.out_channels >= 1, "out_channels", "a positive number", self.out_channels)
        require(self.in_channels > self.concat_channels >= 0, "concat_channels", "0 or more, below in_channels", self)
        for field in ("stem_channels", "num_classes", "vector_channels", "vector_time_channels", "cross_attention_dim"):
            value = getattr(self, field)
            require(value is None or value >= 1, field, "a positive number or null", value)
        timed = self.vector_time_channels is None or self.vector_channels is not None
        require(timed, "vector_time_channels", "null without vector_channels", self.vector_time_channels)
        require(self.time_channels % 2 == 0, "time.channels", "an even number", self.time_channels)
        for node in self.nodes():
            if node.kind == "resnet":
                self.resnet.groups(node.in_channels + node.skip_channels)
                self.resnet.groups(node.out_channels)
        if self.mid is not None and self.mid.attention is not None:
            self.mid.attention.heads_for(self.levels[-1].channels)

    @property
    def time_channels(self) -> int:
        """Width of the raw time embedding."""
        return self.levels[0].channels if self.time.channels is None else self.time.channels

    @property
    def embedding_channels(self) -> int:
        """Width of the embedding that residual blocks receive."""
        return 4 * self.time_channels if self.time.hidden is None else self.time.hidden

    @property
    def stride(self) -> int:
        """Factor between the finest and the coarsest level: sizes are padded to its multiples."""
        return int(2 ** (len(self.levels) - 1))

    def nodes(self) -> tuple[Node, ...]:
        """The network as rows, in the order of computation."""
        return layout(self)

    def skips(self) -> tuple[str, ...]:
        """Names of the skip connections in the order in which the decoder takes them: innermost first."""
        return tuple(node.skip_from for node in self.nodes() if node.skip_from is not None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and YAML; `from_dict` is its inverse."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "UNetConfig":
        """Build from `to_dict`'s form.

        Raises:
            ValueError: an unknown key, a missing one, or a value that a field cannot take; the message names it.
        """
        return from_plain(cls, values)
