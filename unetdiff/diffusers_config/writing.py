"""From a `UNetConfig` to the class and the fields with which diffusers expresses it, if it can.

The fields are a proposal that is then read back: what does not come back as it was cannot be expressed, and is named.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from unetdiff.config import AttentionConfig, UNetConfig
from unetdiff.diffusers_config.unet2d import UNet2DModel
from unetdiff.diffusers_config.unet2d_condition import CLASS_PROJECTION, UNet2DConditionModel
from unetdiff.nodes import Node
from unetdiff.plain import to_plain

__all__ = ["write_config"]

T = TypeVar("T")


def write_config(config: UNetConfig) -> tuple[str, dict[str, Any]]:
    """The name of diffusers' class, and its fields.

    Sizes that the network's stride does not divide are diffusers' own affair: it has one rule for them.

    Raises:
        ValueError: diffusers has no such network; the message names the first node or field that it lacks.
    """
    proposal: UNet2DModel | UNet2DConditionModel
    if config.cross_attention_dim is not None or any(node.kind == "transformer" for node in config.nodes()):
        proposal = _conditional(config)
    else:
        proposal = _unconditional(config)
    name = type(proposal).__name__
    wanted, expressed = _meaning(config), _meaning(proposal.to_unet())
    for key, value in wanted.items():
        if expressed.get(key) != value:
            raise ValueError(f"{key}: diffusers' {name} expected to express {value}, got {expressed.get(key)}")
    return name, to_plain(proposal)


def _unconditional(config: UNetConfig) -> UNet2DModel:
    down, up = _attends(config, "down"), _attends(config, "up")
    last = len(config.levels) - 1
    kinds_down = [config.downsample_at(index) for index in range(last)]
    kinds_up = [config.upsample_at(index) for index in range(last, 0, -1)]
    attention = next((node for node in config.nodes() if node.attention is not None), None)
    return UNet2DModel(
        **_shared(config),
        downsample_type="resnet" if ("resnet", True) in zip(kinds_down, down, strict=False) else "conv",
        upsample_type="resnet" if ("resnet", True) in zip(kinds_up, up, strict=False) else "conv",
        down_block_types=_types(down, kinds_down, "AttnDownBlock2D", "DownBlock2D", "ResnetDownsampleBlock2D"),
        up_block_types=_types(up, kinds_up, "AttnUpBlock2D", "UpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type=None if config.mid is None else "UNetMidBlock2D",
        layers_per_block=config.levels[0].depth,
        attention_head_dim=None if attention is None else _head_channels(attention),
        attn_norm_num_groups=_middle_groups(config),
        add_attention=_middle(config) is not None,
        class_embed_type=config.class_projection,
        num_class_embeds=config.num_classes,
    )


def _conditional(config: UNetConfig) -> UNet2DConditionModel:
    down, up = _attends(config, "down"), _attends(config, "up")
    last = len(config.levels) - 1
    kinds_down = [config.downsample_at(index) for index in range(last)]
    kinds_up = [config.upsample_at(index) for index in range(last, 0, -1)]
    settings = [level.attention or _middle(config) or AttentionConfig(heads=1) for level in config.levels]
    widths = [level.channels for level in config.levels]
    vector = config.vector_channels if config.vector_time_channels is not None else None
    names = {ours: theirs for theirs, ours in CLASS_PROJECTION.items()}
    return UNet2DConditionModel(
        **_shared(config),
        down_block_types=_types(down, kinds_down, "CrossAttnDownBlock2D", "DownBlock2D", "ResnetDownsampleBlock2D"),
        up_block_types=_types(up, kinds_up, "CrossAttnUpBlock2D", "UpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type=_mid_type(config),
        layers_per_block=_single([level.depth for level in config.levels]),
        attention_head_dim=_single([one.heads_for(w) for one, w in zip(settings, widths, strict=True)]),
        **_transformer_layers(config),
        only_cross_attention=_single([one.only_cross for one in settings]),
        use_linear_projection=any(one.linear_projection for one in settings),
        cross_attention_dim=config.cross_attention_dim or 1,
        class_embed_type=names[config.class_projection],
        num_class_embeds=config.num_classes,
        addition_embed_type=None if vector is None else "text_time",
        addition_time_embed_dim=config.vector_time_channels,
        projection_class_embeddings_input_dim=config.class_channels or vector,
        time_cond_proj_dim=config.time.cond_channels,
    )


def _shared(config: UNetConfig) -> dict[str, Any]:
    """Fields that both classes have."""
    mid_scale = None if config.mid is None else config.mid.residual_scale
    return {
        "sample_size": config.sample_size,
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "time_embedding_type": "fourier" if config.time.kind == "fourier" else "positional",
        "time_embedding_dim": config.time.hidden,
        "freq_shift": config.time.freq_shift,
        "flip_sin_to_cos": config.time.order == "cos_sin",
        "block_out_channels": tuple(level.channels for level in config.levels),
        "mid_block_scale_factor": 1.0 if mid_scale is None else 1 / mid_scale,
        "downsample_padding": 0 if config.downsample_padding == "bottom_right" else 1,
        "dropout": config.resnet.dropout,
        "norm_num_groups": config.resnet.norm_groups,
        "norm_eps": config.resnet.norm_eps,
        "resnet_time_scale_shift": "default" if config.resnet.time_conditioning == "add" else "scale_shift",
    }


def _attends(config: UNetConfig, side: Any) -> list[bool]:  # noqa: ANN401  # down or up
    """Whether each block of a side has attention, in diffusers' order: finest first down, coarsest first up."""
    flags = [any(level.layers(side)) for level in config.levels]
    return flags if side == "down" else flags[::-1]


def _types(attends: list[bool], kinds: list[Any], attention: str, plain: str, resampling: str) -> tuple[str, ...]:
    """Block types of a side; the last block does not resample."""
    return tuple(
        attention if attending else (resampling if kind == "resnet" else plain)
        for attending, kind in zip(attends, [*kinds, "conv"], strict=True)
    )


def _head_channels(node: Node) -> int | None:
    assert node.attention is not None
    heads = node.attention.heads_for(node.out_channels)
    one_head = node.attention.heads in (None, 1) and node.attention.head_channels is None
    return None if one_head else node.out_channels // heads


def _single(values: list[T]) -> T | tuple[T, ...]:
    """One value where all levels have it."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def _middle_groups(config: UNetConfig) -> int | None:
    """Norm groups of the middle's attention; null is those of residual blocks, but none with scale and shift."""
    middle = _middle(config)
    if middle is None or middle.norm_groups == 0:
        return None
    by_default = middle.norm_groups is None and config.resnet.time_conditioning == "add"
    return None if by_default else middle.norm_groups or config.resnet.norm_groups


def _middle(config: UNetConfig) -> AttentionConfig | None:
    return None if config.mid is None else config.mid.attention


def _mid_type(config: UNetConfig) -> str | None:
    if config.mid is None:
        return None
    return "UNetMidBlock2D" if config.mid.depth == 0 else "UNetMidBlock2DCrossAttn"


def _transformer_layers(config: UNetConfig) -> dict[str, Any]:
    """One number per level where blocks agree; else, as diffusers wants it, every number of both sides."""
    middle = _middle(config)
    counts = [{*level.layers("down"), *level.layers("up")} - {0} for level in config.levels]
    if middle is not None:
        counts[-1] = counts[-1] | {middle.layers}
    if all(len(count) <= 1 for count in counts):
        return {"transformer_layers_per_block": _single([min(count, default=1) for count in counts])}
    return {
        "transformer_layers_per_block": tuple(level.layers("down") for level in config.levels),
        "reverse_transformer_layers_per_block": tuple(level.layers("up") for level in reversed(config.levels)),
    }


def _meaning(config: UNetConfig) -> Mapping[str, object]:
    """What a configuration says, by node and field, so that two ways to say the same compare equal."""
    facts: dict[str, object] = {f"removed.{name}": way for name, way in config.removed.items()}
    facts |= {f"widths.{name}": width for name, width in config.widths.items()}
    facts |= {node.name: _node_meaning(node, config) for node in config.nodes()}
    time = dataclasses.replace(config.time, channels=config.time_channels, hidden=config.embedding_channels)
    facts |= {f"time.{field}": value for field, value in to_plain(time).items()}
    if config.time.kind == "fourier":
        facts |= {"time.fourier_scale": None, "time.freq_shift": None}  # drawn once, and without a meaning
    for field in ("time_conditioning", "dropout", "norm_eps"):
        facts[f"resnet.{field}"] = getattr(config.resnet, field)
    for field in (
        "divide_by_timestep",
        "num_classes",
        "class_projection",
        "class_channels",
        "vector_channels",
        "vector_time_channels",
        "augment_channels",
        "cross_attention_dim",
    ):
        facts[field] = getattr(config, field)
    return facts


def _node_meaning(node: Node, config: UNetConfig) -> dict[str, object]:
    meaning: dict[str, object] = {
        "kind": node.kind,
        "channels": (node.in_channels, node.skip_channels, node.out_channels),
        "skip_from": node.skip_from,
    }
    if node.kind == "resnet":
        meaning |= {"groups": config.resnet.groups(node.in_channels + node.skip_channels)}
    if node.attention is not None:
        meaning |= _attention_meaning(node, node.attention, config)
    if node.kind in ("resnet", "attention"):
        own = config.mid.residual_scale if config.mid is not None and node.name.startswith("mid_block.") else None
        meaning |= {"residual_scale": config.resnet.residual_scale if own is None else own}
    if node.kind in ("downsample", "upsample"):
        down = node.kind == "downsample"
        resample = config.downsample_at(node.level) if down else config.upsample_at(node.level)
        meaning |= {"resample": resample}
        if resample == "resnet":
            meaning |= {field: getattr(config.resnet, field) for field in ("resample_projection", "resample_filter")}
        elif down and resample == "conv":
            meaning |= {"padding": config.downsample_padding}
    return meaning


def _attention_meaning(node: Node, attention: AttentionConfig, config: UNetConfig) -> dict[str, object]:
    own = attention.norm_groups
    return {
        "layers": node.layers,
        "heads": attention.heads_for(node.out_channels),
        "norm_groups": config.resnet.groups(node.out_channels) if own is None else own,
        "only_cross": attention.only_cross,
        "linear_projection": attention.linear_projection,
    }
