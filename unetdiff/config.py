"""What a U-Net is, as data: `UNetConfig` says everything about the network, `unetdiff.nodes` lists it row by row."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from unetdiff.nodes import Node, layout
from unetdiff.plain import from_plain, require, to_plain
from unetdiff.removal import Removal, also_removed, lies_in, require_removable
from unetdiff.widths import require_narrowable

__all__ = ["AttentionConfig", "LevelConfig", "MidConfig", "ResnetConfig", "TimeConfig", "UNetConfig"]

DownsampleKind = Literal["conv", "pool", "resnet"]
UpsampleKind = Literal["conv", "nearest", "transposed", "resnet"]


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Attention after the residual blocks of a level, or in the middle.

    `kind="attention"` is one self-attention over positions (DDPM, EDM, ADM); `"transformer"` is a stack of `layers`
    blocks of self-attention, cross-attention (where the network has `cross_attention_dim`) and GEGLU feed-forward
    (Stable Diffusion). Give `heads` or `head_channels`, not both; neither means one head. `down_layers` and `up_layers`
    override `layers` block by block, 0 leaving a block without attention. `norm_groups` is the number of groups of the
    norm before it: null for that of the residual blocks, 0 for no norm. `only_cross` lets a transformer's first
    attention read the context too (Stable Diffusion's x4 upscaler).
    """

    kind: Literal["attention", "transformer"] = "attention"
    heads: int | None = None
    head_channels: int | None = None
    layers: int = 1
    down_layers: tuple[int, ...] | None = None
    up_layers: tuple[int, ...] | None = None
    linear_projection: bool = False
    norm_groups: int | None = None
    only_cross: bool = False

    def __post_init__(self) -> None:
        require(self.heads is None or self.head_channels is None, "attention", "heads or head_channels, not both", self)
        for name in ("heads", "head_channels"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"attention.{name}", "a positive number or null", value)
        most = 1 if self.kind == "attention" else None
        for layers in (self.layers, *(self.down_layers or ()), *(self.up_layers or ())):
            fits = layers >= 0 and (most is None or layers <= most)
            require(fits, "attention.layers", "0 or 1" if most else "0 or more", layers)
        groups = self.norm_groups
        require(groups is None or groups >= 0, "attention.norm_groups", "0 or more, or null", groups)
        normed = groups != 0 or self.kind == "attention"
        require(normed, "attention.norm_groups", "a norm before a transformer", groups)
        transformer = self.kind == "transformer" or not self.only_cross
        require(transformer, "attention.only_cross", "false without a transformer", self.only_cross)

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
    """One resolution: `depth` residual blocks in the encoder and `depth + 1` in the decoder, all `channels` wide.

    `downsample` (to the next level) and `upsample` (to the previous one) override the network's.
    """

    channels: int
    depth: int = 2
    attention: AttentionConfig | None = None
    downsample: DownsampleKind | None = None
    upsample: UpsampleKind | None = None

    def __post_init__(self) -> None:
        require(self.channels >= 1, "levels.channels", "a positive number", self.channels)
        require(self.depth >= 1, "levels.depth", "a positive number", self.depth)
        if self.attention is not None:
            self.attention.heads_for(self.channels)
            for name, blocks in (("down_layers", self.depth), ("up_layers", self.depth + 1)):
                layers = getattr(self.attention, name)
                require(
                    layers is None or len(layers) == blocks,
                    f"levels.attention.{name}",
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
    """The middle: one residual block, then `depth` times attention (if any) and a residual block.

    `residual_scale` overrides that of the other residual blocks.
    """

    depth: int = 1
    attention: AttentionConfig | None = None
    residual_scale: float | None = None

    def __post_init__(self) -> None:
        require(self.depth >= 0, "mid.depth", "0 or more", self.depth)
        scale = self.residual_scale
        fits = scale is None or 0 < scale < math.inf
        require(fits, "mid.residual_scale", "a positive number or null", scale)


@dataclass(frozen=True, kw_only=True)
class ResnetConfig:
    """What all residual blocks share.

    `time_conditioning`: the embedding is added between the convolutions, or scales and shifts the second norm (AdaGN).
    `residual_scale` multiplies the sum of branch and shortcut (EDM: sqrt(1/2)), also of attention. GroupNorm has
    `min(norm_groups, channels // norm_min_channels)` groups. `resample_projection` gives resampling residual blocks a
    1x1 shortcut also where the width stays (DDPM++). `resample_filter` are the taps of the separable filter with which
    resampling residual blocks halve and double: (1, 1) is the mean and the nearest neighbour, (1, 3, 3, 1) NCSN++'s.
    """

    time_conditioning: Literal["add", "scale_shift"] = "add"
    residual_scale: float = 1.0
    dropout: float = 0.0
    norm_groups: int = 32
    norm_min_channels: int = 1
    norm_eps: float = 1e-5
    resample_projection: bool = False
    resample_filter: tuple[float, ...] = (1.0, 1.0)

    def __post_init__(self) -> None:
        taps = self.resample_filter
        require(len(taps) >= 2 and len(taps) % 2 == 0, "resnet.resample_filter", "an even number of taps", taps)
        require(0 < sum(taps) < math.inf, "resnet.resample_filter", "taps of a positive sum", taps)
        require(0 <= self.dropout < 1, "resnet.dropout", "a probability below 1", self.dropout)
        require(0 < self.residual_scale < math.inf, "resnet.residual_scale", "a positive number", self.residual_scale)
        require(0 <= self.norm_eps < math.inf, "resnet.norm_eps", "0 or a positive number", self.norm_eps)
        require(self.norm_groups >= 1, "resnet.norm_groups", "a positive number", self.norm_groups)
        require(self.norm_min_channels >= 1, "resnet.norm_min_channels", "a positive number", self.norm_min_channels)

    def groups(self, channels: int) -> int:
        """GroupNorm groups at this width."""
        groups = max(min(self.norm_groups, channels // self.norm_min_channels), 1)
        fitting = f"a number of groups that divides {channels}, such as {math.gcd(channels, groups)}"
        require(channels % groups == 0, "resnet.norm_groups", fitting, groups)
        return groups


@dataclass(frozen=True, kw_only=True)
class TimeConfig:
    """How the number that the network is conditioned on becomes a vector.

    Sinusoidal: frequencies max_period^(-i / (half - freq_shift)), cosines first or sines first. Fourier: random
    frequencies of standard deviation `fourier_scale`, of the number or its `log`. Then a two-layer network of
    width `hidden` (null: 4 times the embedding). `labels` says where class and vector embeddings join: after that
    network (ADM) or before it (DDPM++). `cond_channels`: width of a second embedding, of the guidance weight that a
    distilled network imitates, which a projection adds to the first (Meng et al. 2023; latent consistency models).
    """

    kind: Literal["sinusoidal", "fourier"] = "sinusoidal"
    channels: int | None = None
    hidden: int | None = None
    order: Literal["sin_cos", "cos_sin"] = "cos_sin"
    freq_shift: float = 0.0
    max_period: float = 10_000.0
    fourier_scale: float = 16.0
    labels: Literal["after", "before"] = "after"
    log: bool = False
    cond_channels: int | None = None

    def __post_init__(self) -> None:
        require(self.kind == "fourier" or not self.log, "time.log", "false without Fourier features", self.log)
        even = self.channels is None or (self.channels >= 2 and self.channels % 2 == 0)
        require(even, "time.channels", "an even number or null", self.channels)
        for name in ("hidden", "cond_channels"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"time.{name}", "a positive number or null", value)
        for name in ("max_period", "fourier_scale"):
            require(0 < getattr(self, name) < math.inf, f"time.{name}", "a positive number", getattr(self, name))
        require(math.isfinite(self.freq_shift), "time.freq_shift", "a finite number", self.freq_shift)


_WIDTHS = (
    "in_channels",
    "out_channels",
    "stem_channels",
    "num_classes",
    "class_channels",
    "vector_channels",
    "vector_time_channels",
    "augment_channels",
    "cross_attention_dim",
)


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """A time-conditioned U-Net, from the outermost (finest) level to the innermost.

    Input and output: `in_channels` counts what `conv_in` takes, the noisy image and `concat_channels` of a conditioning
    image; `stem_channels` is the width it gives (null: the finest level's). `out_channels` counts what `conv_out`
    gives, the estimate and `variance_channels` of a learned variance (Nichol & Dhariwal 2021). `input_residual` feeds
    the shrunken input to every level of the encoder (NCSN++). `divide_by_timestep` divides the output by the timestep
    (score networks). `sample_size` is the size it was made for, one number for a square or (height, width): information
    only, since the network takes any size. `odd_sizes`, which cannot be halved evenly, are padded at the border
    ("pad"), or rounded up on the way down and matched to the skips on the way up ("match_skips", diffusers).

    Conditions: `num_classes`: class index, -1 being the null class, which adds nothing. `class_projection`: class
    labels are no index but a number embedded like the timestep, or a vector of `class_channels` through two layers
    ("mlp"), one ("linear") or none. `vector_channels`: a continuous vector; with `vector_time_channels` (SDXL) it is a
    text embedding followed by that many sinusoidal channels per size number. `augment_channels`: labels of non-leaky
    augmentation (EDM). `cross_attention_dim`: width of `encoder_hidden_states`.

    `removed`: parts that were taken out, by name, and what is left in their place (see `unetdiff.removal`).
    `widths`: parts that are narrower inside, by name, and how many channels or heads they have (see `unetdiff.widths`).
    """

    in_channels: int = 3
    out_channels: int = 3
    concat_channels: int = 0
    variance_channels: int = 0
    stem_channels: int | None = None
    sample_size: int | tuple[int, int] | None = None
    odd_sizes: Literal["pad", "match_skips"] = "pad"
    input_residual: bool = False
    divide_by_timestep: bool = False
    levels: tuple[LevelConfig, ...] = (LevelConfig(channels=64), LevelConfig(channels=128))
    mid: MidConfig | None = MidConfig()
    resnet: ResnetConfig = ResnetConfig()
    time: TimeConfig = TimeConfig()
    downsample: DownsampleKind = "conv"
    upsample: UpsampleKind = "conv"
    downsample_padding: Literal["symmetric", "bottom_right"] = "symmetric"
    num_classes: int | None = None
    class_projection: Literal["timestep", "mlp", "linear", "identity"] | None = None
    class_channels: int | None = None
    vector_channels: int | None = None
    vector_time_channels: int | None = None
    augment_channels: int | None = None
    cross_attention_dim: int | None = None
    removed: Mapping[str, Removal] = field(default_factory=dict, hash=False)
    widths: Mapping[str, int] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if isinstance(self.sample_size, tuple) and len(set(self.sample_size)) == 1:
            # the form that all pipelines of diffusers take
            object.__setattr__(self, "sample_size", self.sample_size[0])
        require(len(self.levels) >= 1, "levels", "at least one level", self.levels)
        for name in _WIDTHS:
            value = getattr(self, name)
            require(value is None or value >= 1, name, "a positive number or null", value)
        for extra, total in (("concat_channels", "in_channels"), ("variance_channels", "out_channels")):
            inside = 0 <= getattr(self, extra) < getattr(self, total)
            require(inside, extra, f"0 or more, below {total}", getattr(self, extra))
        require(min(self.image_size or (1,)) >= 1, "sample_size", "positive numbers or null", self.sample_size)
        self._check_embeddings()
        self._check_conditions()
        self._check_nodes()
        require_removable(self.removed, self.nodes(), self.cross_attention_dim is not None)
        require_narrowable(self)

    def _check_embeddings(self) -> None:
        """Half of a width are sines; their frequencies fall over a range that `freq_shift` must leave positive."""
        widths = {"time.channels": self.time_channels, "vector_time_channels": self.vector_time_channels}
        for name, width in widths.items():
            require(width is None or width % 2 == 0, name, "an even number", width)
            if width is not None and (self.time.kind == "sinusoidal" or name == "vector_time_channels"):
                fits = self.time.freq_shift < width // 2
                require(fits, "time.freq_shift", f"a number below half of {name}, {width // 2}", self.time.freq_shift)

    def _check_conditions(self) -> None:
        timed = self.vector_time_channels is None or self.vector_channels is not None
        require(timed, "vector_time_channels", "null without vector_channels", self.vector_time_channels)
        single = self.num_classes is None or self.class_projection is None
        require(single, "class_projection", "null with num_classes", self.class_projection)
        sized = self.class_projection in ("mlp", "linear")
        expected = "a width" if sized else "null"
        require((self.class_channels is not None) == sized, "class_channels", expected, self.class_channels)

    def _check_nodes(self) -> None:
        """Every width must suit its norm and its heads."""
        for node in self.nodes():
            if node.kind == "resnet":
                self.resnet.groups(node.in_channels + node.skip_channels)
                self.resnet.groups(node.out_channels)
            elif node.attention is not None:
                node.attention.heads_for(node.out_channels)
                groups = node.attention.norm_groups
                fits = not groups or node.out_channels % groups == 0
                require(fits, "attention.norm_groups", f"a divisor of {node.out_channels}", groups)
            elif node.kind == "upsample" and self.odd_sizes == "match_skips":
                kind = self.upsample_at(node.level)
                require(kind in ("conv", "nearest"), "odd_sizes", f"pad with upsample {kind!r}", self.odd_sizes)

    def without(self, removed: Mapping[str, Removal]) -> "UNetConfig":
        """The same network without these parts, too; what lies inside of what goes, and its widths, go with it.

        Raises:
            ValueError: a name or a way that the network does not have.
        """
        widths = {name: width for name, width in self.widths.items() if not lies_in(name, removed)}
        return replace(self, removed=also_removed(self.removed, removed), widths=widths)

    @property
    def time_channels(self) -> int:
        """Width of the raw time embedding."""
        return self.levels[0].channels if self.time.channels is None else self.time.channels

    @property
    def embedding_channels(self) -> int:
        """Width of the embedding that residual blocks receive."""
        return 4 * self.time_channels if self.time.hidden is None else self.time.hidden

    @property
    def image_size(self) -> tuple[int, int] | None:
        """`sample_size` as (height, width)."""
        return (self.sample_size, self.sample_size) if isinstance(self.sample_size, int) else self.sample_size

    @property
    def stride(self) -> int:
        """Factor between the finest and the coarsest level: sizes are padded to its multiples."""
        return int(2 ** (len(self.levels) - 1))

    @property
    def time_cond_proj_dim(self) -> int | None:
        """`time.cond_channels`, as diffusers' pipelines ask for it."""
        return self.time.cond_channels

    @property
    def addition_time_embed_dim(self) -> int | None:
        """`vector_time_channels`, as diffusers' SDXL pipelines ask for it."""
        return self.vector_time_channels

    @property
    def layers_per_block(self) -> int:
        """Depth of the first level, by which diffusers reads the numbers in other tools' LoRA files for SDXL."""
        return self.levels[0].depth

    def downsample_at(self, level: int) -> DownsampleKind:
        """How a level's feature map is halved."""
        return self.levels[level].downsample or self.downsample

    def upsample_at(self, level: int) -> UpsampleKind:
        """How a level's feature map is doubled."""
        return self.levels[level].upsample or self.upsample

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
