"""The network: built from the nodes of its configuration, run by walking them.

Ronneberger et al. 2015 with the time conditioning of Ho et al. 2020; skip-tuning after Ma et al. 2024 (definition 3.1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils import BaseOutput
from torch import Tensor, nn
from torch.nn import functional as F

from unetdiff.config import UNetConfig
from unetdiff.nn.build import build_node, tree
from unetdiff.nn.embeddings import EmbeddingMLP, SinusoidalEmbedding, time_projection
from unetdiff.nn.resnet import ResnetBlock
from unetdiff.nodes import Node

__all__ = ["NULL_CLASS", "SkipScale", "UNet", "UNetOutput"]

NULL_CLASS = -1
SkipScale = float | Sequence[float] | Mapping[str, float] | Tensor


@dataclass
class UNetOutput(BaseOutput):
    """`sample`: the raw network output, (N, out_channels, H, W)."""

    sample: Tensor


class UNet(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """A time-conditioned U-Net with cross-attention, described by a `UNetConfig`.

    Sizes that `config.stride` (2^(levels - 1)) does not divide are padded evenly on both sides by repeating the border,
    and the output is cropped back, so any height and width will do.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ("ResnetBlock", "SpatialAttention", "Transformer")
    _repeated_blocks = ("ResnetBlock", "SpatialAttention", "Transformer")

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.register_to_config(**config.to_dict())
        self._config = config
        self.nodes = config.nodes()
        self.skips = config.skips()
        self._skip_sources = frozenset(self.skips)
        first_joined = next(index for index, node in enumerate(self.nodes) if node.skip_from is not None)
        self._innermost = self.nodes[first_joined - 1].name
        self.gradient_checkpointing = False
        self.time_proj = time_projection(config.time, config.time_channels)
        self.time_embedding = EmbeddingMLP(config.time_channels, config.embedding_channels)
        label_channels = config.time_channels if config.time.labels == "before" else config.embedding_channels
        if config.num_classes is not None:
            self.class_embedding = nn.Embedding(config.num_classes, label_channels)
        if config.vector_channels is not None:
            self.add_embedding = EmbeddingMLP(config.vector_channels, label_channels)
        if config.vector_time_channels is not None:
            self.add_time_proj = SinusoidalEmbedding(config.vector_time_channels, "cos_sin")
        for name, module in tree({node.name: build_node(node, config) for node in self.nodes}).items():
            self.add_module(name, module)

    @property
    def config(self) -> UNetConfig:
        """What this network is."""
        return self._config

    @classmethod
    def from_config(cls, config: UNetConfig | Mapping[str, Any]) -> "UNet":
        """Build from a `UNetConfig` or from the contents of a `config.json`."""
        if isinstance(config, UNetConfig):
            return cls(config)
        return cls(UNetConfig.from_dict({key: value for key, value in config.items() if not key.startswith("_")}))

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor | None = None,
        class_labels: Tensor | None = None,
        added_cond_kwargs: Mapping[str, Tensor] | None = None,
        down_block_additional_residuals: Sequence[Tensor] | None = None,
        mid_block_additional_residual: Tensor | None = None,
        return_dict: bool = True,
        *,
        encoder_attention_mask: Tensor | None = None,
        vector: Tensor | None = None,
        concat: Tensor | None = None,
        skip_scale: SkipScale | None = None,
    ) -> UNetOutput | tuple[Tensor]:
        """Run the network.

        Args:
            sample: (N, C, H, W), already scaled by c_in; C is `in_channels`, less `concat_channels` if `concat` comes.
            timestep: what the network is conditioned on (c_noise), one number or (N,).
            encoder_hidden_states: (N, M, cross_attention_dim), the tokens that cross-attention reads.
            class_labels: (N,) integers below `num_classes`, or -1 for the null class.
            added_cond_kwargs: SDXL's `text_embeds` (N, D) and `time_ids` (N, K), joined into `vector`.
            down_block_additional_residuals: one tensor per skip, outermost first, added to it (ControlNet).
            mid_block_additional_residual: added to the middle's output (ControlNet).
            return_dict: give a `UNetOutput` instead of a tuple.
            encoder_attention_mask: (N, M), true or 1 where a token may be read.
            vector: (N, vector_channels), continuous conditioning.
            concat: (N, concat_channels, H, W), concatenated to the sample.
            skip_scale: factor on the skip connections (skip-tuning): one number, a mapping by skip name, or one per
                skip in the order of `config.skips()` (innermost first) as a list, a tensor (skips,) or (N, skips).

        Raises:
            ValueError: a condition that the network lacks or misses, or a tensor of the wrong width.
        """
        x = sample if concat is None else torch.cat([sample, concat.to(sample.dtype)], dim=1)
        _require_width("sample (with concat)", x, self.config.in_channels, dim=1)
        height, width = x.shape[2:]
        x, top, left = _pad(x, self.config.stride)
        embedding = self._embedding(x, timestep, class_labels, self._vector(vector, added_cond_kwargs))
        bias = self._attention_bias(x, encoder_hidden_states, encoder_attention_mask)
        scales = _scales(skip_scale, self.skips)
        residuals = _residuals(down_block_additional_residuals, self.skips)
        features: dict[str, Tensor] = {}
        for node in self.nodes:
            name = node.skip_from
            if name is not None:
                x = _join(x, features.pop(name), residuals.get(name), scales.get(name))
            x = self._run(node, x, embedding, encoder_hidden_states, bias)
            if node.name in self._skip_sources:
                features[node.name] = x
            if node.name == self._innermost and mid_block_additional_residual is not None:
                x = x + mid_block_additional_residual
        x = x[:, :, top : top + height, left : left + width]
        return UNetOutput(sample=x) if return_dict else (x,)

    def _run(self, node: Node, x: Tensor, embedding: Tensor, context: Tensor | None, bias: Tensor | None) -> Tensor:
        """Apply one node, recomputing it in the backward pass where gradient checkpointing is on."""
        module = self.get_submodule(node.name)
        arguments: tuple[Tensor | None, ...] = (x,)
        if isinstance(module, ResnetBlock):
            arguments = (x, embedding)
        elif node.kind == "transformer":
            arguments = (x, context, bias)
        if self.gradient_checkpointing and torch.is_grad_enabled():
            out: Tensor = self._gradient_checkpointing_func(module, *arguments)
        else:
            out = module(*arguments)
        return F.silu(out) if node.kind == "norm" else out

    def _embedding(self, x: Tensor, timestep: Tensor | float, labels: Tensor | None, vector: Tensor | None) -> Tensor:
        """What all residual blocks receive: (N, embedding_channels), through the SiLU that they share."""
        values = torch.as_tensor(timestep, device=x.device).expand(x.shape[0])
        embedding = self.time_proj(values).to(x.dtype)
        extra = self._label_embedding(x, labels, vector)
        if self.config.time.labels == "before":
            return F.silu(self.time_embedding(embedding if extra is None else embedding + extra))
        embedding = self.time_embedding(embedding)
        return F.silu(embedding if extra is None else embedding + extra)

    def _label_embedding(self, x: Tensor, labels: Tensor | None, vector: Tensor | None) -> Tensor | None:
        """Sum of class and vector embeddings; the null class adds nothing."""
        _require_presence("class_labels", labels, self.config.num_classes)
        _require_presence("vector", vector, self.config.vector_channels)
        parts = []
        if labels is not None:
            _require_classes(labels, self.class_embedding.num_embeddings)
            labels = labels.expand(x.shape[0])
            known = (labels != NULL_CLASS)[:, None]
            parts.append(self.class_embedding(labels.clamp(min=0)) * known.to(x.dtype))
        if vector is not None:
            assert self.config.vector_channels is not None
            _require_width("vector", vector, self.config.vector_channels, dim=1)
            parts.append(self.add_embedding(vector.to(x.dtype)))
        return sum(parts[1:], parts[0]) if parts else None

    def _vector(self, vector: Tensor | None, added: Mapping[str, Tensor] | None) -> Tensor | None:
        """`vector`, or SDXL's: the pooled text embedding and the sinusoidal embeddings of the size numbers."""
        if not added:
            return vector
        if self.config.vector_time_channels is None or not {"text_embeds", "time_ids"} <= set(added):
            expected = "nothing" if self.config.vector_time_channels is None else "text_embeds and time_ids"
            raise ValueError(f"added_cond_kwargs: expected {expected}, got {sorted(added)}")
        text, numbers = added["text_embeds"], added["time_ids"]
        times = self.add_time_proj(numbers.flatten()).reshape(numbers.shape[0], -1)
        return torch.cat([text, times.to(text.dtype)], dim=-1)

    def _attention_bias(self, x: Tensor, context: Tensor | None, mask: Tensor | None) -> Tensor | None:
        """Additive bias (N, 1, 1, M) of a mask: large and finite, so that a fully masked row stays a number."""
        _require_presence("encoder_hidden_states", context, self.config.cross_attention_dim)
        if context is not None:
            assert self.config.cross_attention_dim is not None
            _require_width("encoder_hidden_states", context, self.config.cross_attention_dim, dim=2)
        return None if mask is None else (1 - mask.to(x.dtype))[:, None, None, :] * -10_000.0

    def compile_blocks(self) -> None:
        """Compile block by block: equal blocks share their code, which is far less than the network; keys stay.

        The number of compiled variants is the number of different (block, width, size), above torch's usual limit.
        """
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 2 * len(self.nodes))
        self.compile_repeated_blocks(fullgraph=True, dynamic=False)


def _join(x: Tensor, skip: Tensor, residual: Tensor | None, scale: float | Tensor | None) -> Tensor:
    """Concat(u, rho * d) of the main path u and the skip d, behind a ControlNet's residual (Ma et al. 2024)."""
    if residual is not None:
        skip = skip + residual
    if scale is not None:
        skip = skip * (scale.to(skip.dtype)[..., None, None, None] if isinstance(scale, Tensor) else scale)
    return torch.cat([x, skip], dim=1)


def _residuals(residuals: Sequence[Tensor] | None, skips: Sequence[str]) -> Mapping[str, Tensor]:
    """ControlNet's residuals, which come outermost first, by the skip that they are added to."""
    if residuals is None:
        return {}
    if len(residuals) != len(skips):
        expected = f"one tensor for each of {len(skips)} skips"
        raise ValueError(f"down_block_additional_residuals: expected {expected}, got {len(residuals)}")
    return dict(zip(reversed(skips), residuals, strict=True))


def _scales(skip_scale: SkipScale | None, skips: Sequence[str]) -> Mapping[str, float | Tensor]:
    """The factor of each skip by name; skips without one stay as they are."""
    if skip_scale is None:
        return {}
    if isinstance(skip_scale, Mapping):
        unknown = sorted(set(skip_scale) - set(skips))
        if unknown:
            raise ValueError(f"skip_scale: expected names among {list(skips)}, got {unknown}")
        return skip_scale
    if isinstance(skip_scale, (int, float)) or (isinstance(skip_scale, Tensor) and skip_scale.ndim == 0):
        return dict.fromkeys(skips, skip_scale)
    count = skip_scale.shape[-1] if isinstance(skip_scale, Tensor) else len(skip_scale)
    if count != len(skips):
        raise ValueError(f"skip_scale: expected one factor for each of {len(skips)} skips, got {count}")
    factors = skip_scale.unbind(dim=-1) if isinstance(skip_scale, Tensor) else skip_scale
    return dict(zip(skips, factors, strict=True))


def _pad(x: Tensor, stride: int) -> tuple[Tensor, int, int]:
    """Repeat the border evenly up to multiples of `stride`; also how many rows and columns came before the image."""
    (top, bottom), (left, right) = (
        (extra // 2, extra - extra // 2) for extra in (-size % stride for size in x.shape[2:])
    )
    if top + bottom + left + right == 0:
        return x, 0, 0
    return F.pad(x, (left, right, top, bottom), mode="replicate"), top, left


def _require_width(name: str, x: Tensor, width: int, dim: int) -> None:
    if x.shape[dim] != width:
        raise ValueError(f"{name}: expected {width} channels in dimension {dim}, got shape {tuple(x.shape)}")


def _require_classes(labels: Tensor, classes: int) -> None:
    """Check the range, where looking at values costs nothing: eager, on the CPU."""
    if torch.compiler.is_compiling() or labels.device.type != "cpu":
        return
    wrong = labels[(labels < NULL_CLASS) | (labels >= classes)]
    if len(wrong):
        raise ValueError(f"class_labels: expected {NULL_CLASS} to {classes - 1}, got {int(wrong[0])}")


def _require_presence(name: str, value: Tensor | None, width: int | None) -> None:
    if (value is None) != (width is None):
        expected, got = ("nothing", "a tensor") if width is None else ("a tensor", "None")
        raise ValueError(f"{name}: expected {expected}, as this network's configuration says, got {got}")
