"""Networks of guided-diffusion, improved-diffusion and the consistency models (OpenAI): their weights under our names.

Nichol & Dhariwal 2021, Dhariwal & Nichol 2021 (ADM), Song et al. 2023. All three share one network class, `UNetModel`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, TimeConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.interop.guided_blocks import Block, guided_blocks
from unetdiff.interop.loading import denoiser_from
from unetdiff.interop.qkv import Layout, split_qkv
from unetdiff.nodes import Node
from unetdiff.noise import DiscreteSchedule
from unetdiff.plain import from_plain, require
from unetdiff.preconditioning import EDM, Consistency, Epsilon, Preconditioning

__all__ = ["from_guided_diffusion"]

EMBEDDINGS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb": "class_embedding",
}
RESNET = {
    ".in_layers.0": ".norm1",
    ".in_layers.2": ".conv1",
    ".emb_layers.1": ".time_emb_proj",
    ".out_layers.0": ".norm2",
    ".out_layers.3": ".conv2",
    ".skip_connection": ".conv_shortcut",
}
# below a node's path there and here; the fused projection of attention goes its own way
MODULES = {
    "conv": {"": ""},
    "norm": {"": ""},
    "resnet": RESNET,
    "attention": {".norm": ".group_norm", ".proj_out": ".to_out.0"},
    "downsample": {**RESNET, ".op": ".conv"},
    "upsample": {**RESNET, ".conv": ".conv"},
}


def from_guided_diffusion(
    state_dict: Mapping[str, Tensor],
    network: Mapping[str, object],
    noise_schedule: str = "linear",
    *,
    diffusion_steps: int = 1000,
    rescale_timesteps: bool = False,
) -> Denoiser:
    """The denoiser of a checkpoint.

    Args:
        state_dict: the network's.
        network: the arguments of `UNetModel`, by name. `attention_resolutions` are downsampling factors, as that class
            takes them, not the image sizes of the scripts' flag. `attention_type: "flash"`, not an argument there,
            says that the network is one of the consistency models.
        noise_schedule: "linear" or "cosine"; for consistency models "edm" (their teachers) or "consistency".
        diffusion_steps: the length of a linear or cosine schedule (improved-diffusion: 4000).
        rescale_timesteps: whether the network was given timesteps between 0 and 1000 whatever that length is.

    Raises:
        ValueError: an argument that is unknown or not covered, or tensors that don't fit; the message names them.
    """
    arguments = from_plain(_Network, network, "network")
    config = arguments.config()
    weights = dict(_renamed(state_dict, config, arguments.qkv_layout))
    return denoiser_from(config, weights, _preconditioning(noise_schedule, diffusion_steps, rescale_timesteps))


@dataclass(frozen=True, kw_only=True)
class _Network:
    """The arguments of `UNetModel`; `use_checkpoint` and `use_fp16` do not change what it computes."""

    in_channels: int
    model_channels: int
    out_channels: int
    num_res_blocks: int
    attention_resolutions: tuple[int, ...]
    image_size: int | None = None
    dropout: float = 0.0
    channel_mult: tuple[float, ...] = (1, 2, 4, 8)
    conv_resample: bool = True
    dims: int = 2
    num_classes: int | None = None
    use_checkpoint: bool = False
    use_fp16: bool = False
    num_heads: int = 1
    num_head_channels: int = -1
    num_heads_upsample: int = -1
    use_scale_shift_norm: bool = False
    resblock_updown: bool = False
    use_new_attention_order: bool = False
    attention_type: Literal["flash"] | None = None

    def __post_init__(self) -> None:
        require(self.dims == 2, "network.dims", "2", self.dims)
        widths = (self.in_channels, 2 * self.in_channels)
        expected = f"{widths[0]}, or {widths[1]} with a learned variance"
        require(self.out_channels in widths, "network.out_channels", expected, self.out_channels)
        heads = self.num_heads_upsample
        same = self.num_head_channels != -1 or heads in (-1, self.num_heads)
        require(same, "network.num_heads_upsample", f"-1 or num_heads ({self.num_heads})", heads)

    @property
    def qkv_layout(self) -> Layout:
        """How the fused projection orders its channels."""
        return "stacked" if self.use_new_attention_order or self.attention_type == "flash" else "per_head"

    def config(self) -> UNetConfig:
        """The same network as we describe it."""
        by_width = self.num_head_channels != -1
        attention = AttentionConfig(
            heads=None if by_width else self.num_heads, head_channels=self.num_head_channels if by_width else None
        )
        return UNetConfig(
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            variance_channels=self.out_channels - self.in_channels,
            sample_size=None if self.image_size is None else (self.image_size, self.image_size),
            levels=tuple(
                LevelConfig(
                    channels=int(factor * self.model_channels),
                    depth=self.num_res_blocks,
                    attention=attention if 2**level in self.attention_resolutions else None,
                )
                for level, factor in enumerate(self.channel_mult)
            ),
            mid=MidConfig(attention=attention),
            resnet=ResnetConfig(
                time_conditioning="scale_shift" if self.use_scale_shift_norm else "add", dropout=self.dropout
            ),
            time=TimeConfig(channels=self.model_channels),
            downsample="resnet" if self.resblock_updown else "conv" if self.conv_resample else "pool",
            upsample="resnet" if self.resblock_updown else "conv" if self.conv_resample else "nearest",
            num_classes=self.num_classes,
        )


def _preconditioning(noise_schedule: str, steps: int, rescale_timesteps: bool) -> Preconditioning:
    require(steps >= 2, "diffusion_steps", "at least 2", steps)
    scale = 1000 / steps
    time_scale = scale if rescale_timesteps else 1.0
    match noise_schedule:
        case "linear":
            schedule = DiscreteSchedule(steps=steps, beta_start=1e-4 * scale, beta_end=0.02 * scale)
            return Epsilon(schedule=schedule, time_scale=time_scale)
        case "cosine":
            return Epsilon(schedule=DiscreteSchedule(kind="cosine", steps=steps), time_scale=time_scale)
        case "edm":
            return EDM(noise_scale=250.0)
        case "consistency":
            return Consistency()
    raise ValueError(f"noise_schedule: expected linear, cosine, edm or consistency, got {noise_schedule!r}")


def _renamed(state_dict: Mapping[str, Tensor], config: UNetConfig, layout: Layout) -> Iterator[tuple[str, Tensor]]:
    """Every tensor under our name; what has none keeps its own."""
    nodes = config.nodes()
    paths = _paths(nodes)
    fused = {f"{paths[node.name]}.qkv": node for node in nodes if node.attention is not None}
    names = EMBEDDINGS | {
        f"{paths[node.name]}{theirs}": f"{node.name}{ours}"
        for node in nodes
        for theirs, ours in MODULES[node.kind].items()
    }
    for key, tensor in state_dict.items():
        module, _, kind = key.rpartition(".")
        if module in fused:
            node = fused[module]
            assert node.attention is not None
            parts = split_qkv(_linear(tensor), node.attention.heads_for(node.out_channels), layout)
            yield from zip((f"{node.name}.to_{part}.{kind}" for part in "qkv"), parts, strict=True)
        elif module in names:
            yield f"{names[module]}.{kind}", _linear(tensor) if module.endswith(".proj_out") else tensor
        else:
            yield key, tensor


def _linear(tensor: Tensor) -> Tensor:
    """The weight of a 1x1 convolution as that of a linear layer; a bias as it is."""
    return tensor.flatten(1) if tensor.ndim > 1 else tensor


def _paths(nodes: Sequence[Node]) -> dict[str, str]:
    """Where each node lies there."""
    blocks = guided_blocks(nodes)
    return {
        **_parts("input_blocks", blocks.input_blocks),
        **{node.name: f"middle_block.{part}" for part, node in enumerate(blocks.middle_block)},
        **_parts("output_blocks", blocks.output_blocks),
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }


def _parts(side: str, blocks: Sequence[Block]) -> dict[str, str]:
    return {
        node.name: f"{side}.{index}.{part}" for index, block in enumerate(blocks) for part, node in enumerate(block)
    }
