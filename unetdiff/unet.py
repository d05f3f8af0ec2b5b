"""The network: built from the nodes of its configuration, run by walking them.

Ronneberger et al. 2015 with the time conditioning of Ho et al. 2020; skip-tuning after Ma et al. 2024 (definition 3.1).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.modeling_utils import ModelMixin, get_parameter_dtype
from diffusers.utils import BaseOutput
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from unetdiff.config import UNetConfig
from unetdiff.diffusers_config import read_config, write_config
from unetdiff.fit import require_fit
from unetdiff.nn.build import build_node, tree
from unetdiff.nn.class_embedding import NULL_CLASS, ClassEmbedding, class_embedding
from unetdiff.nn.embeddings import EmbeddingMLP, SinusoidalEmbedding, time_projection
from unetdiff.nn.lora_scale import lora_scaled
from unetdiff.nn.padding import Padding
from unetdiff.nn.resnet import ResnetBlock
from unetdiff.nn.skip import Join, Joint, SkipScale, SkipSite, control_residuals, skip_factors
from unetdiff.nn.stub import Stub
from unetdiff.nn.taps import Edit, Tap, Taps
from unetdiff.nn.transformer import Transformer
from unetdiff.nodes import Node
from unetdiff.tap_points import tap_points
from unetdiff.weight_source import contained, find_network, refusal, require_weights

__all__ = ["NULL_CLASS", "Fork", "SkipCache", "SkipScale", "UNet", "UNetOutput"]


@dataclass
class UNetOutput(BaseOutput):
    """`sample`: the raw network output, (N, out_channels, H, W); `features`: what was captured, by name of its tap.

    Each is None where there is none: a network that stopped early has no sample.
    """

    sample: Tensor | None = None
    features: dict[str, Tensor] | None = None


@dataclass(kw_only=True, eq=False)
class SkipCache:
    """The main path u (N, C_u, H, W) that the skip of this name joins: what the nodes inside the skip compute."""

    skip: str
    u: Tensor | None = None

    def exchange(self, node: Node, u: Tensor, d: Tensor) -> Tensor:
        """Keep u, where there is none; return what `node` joins with the skip's d."""
        if self.u is None:
            self.u = u
        expected = (d.shape[0], node.in_channels, *d.shape[2:])
        if self.u.shape != expected:
            raise ValueError(f"skip_cache: expected {expected} at {self.skip}, got shape {tuple(self.u.shape)}")
        return self.u


@dataclass(frozen=True, kw_only=True, eq=False)
class _Call:
    """What the nodes share in one call of the network, beside the main path."""

    nodes: tuple[Node, ...]
    embedding: Tensor
    context: Tensor | None
    bias: Tensor | None
    joint: Joint
    middle: Tensor | None
    cache: SkipCache | None
    taps: Taps
    padding: Padding
    timestep: Tensor | float


@dataclass(kw_only=True, eq=False)
class _State:
    """Where a walk over the nodes has come to: the main path, and by their names the feature maps still to be taken."""

    x: Tensor
    kept: dict[str | None, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fork:
    """A call of the network in front of a node, from where it can go on with another module in the node's place.

    What came before is not computed again, edits at taps behind it are made in every continuation, and the call itself
    goes on unchanged. It is of use until the function that it was handed to returns.
    """

    node: Node
    _unet: "UNet"
    _state: _State
    _behind: tuple[Node, ...]
    _call: _Call

    def feature(self, module: nn.Module) -> Tensor:
        """The node's feature map, as `module` computes it."""
        return self._stepped(module).x

    def output(self, module: nn.Module) -> Tensor:
        """The network's output, (N, out_channels, H, W), with `module` in the node's place."""
        state = self._stepped(module)
        for node in self._behind:
            self._unet._step(state, node, self._unet.get_submodule(node.name), self._call)
        return self._unet._output(state.x, self._call)

    def _stepped(self, module: nn.Module) -> _State:
        state = _State(x=self._state.x, kept=dict(self._state.kept))
        self._unet._step(state, self.node, module, self._call)
        return state


class UNet(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """A time-conditioned U-Net with cross-attention, described by a `UNetConfig`.

    Any height and width will do: where `config.stride` (2^(levels - 1)) does not divide them, the image is padded
    evenly on both sides by repeating the border and the output is cropped back, or (`odd_sizes="match_skips"`) levels
    are rounded up.
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
        self.taps = {point.name: point for point in tap_points(config, self.nodes)}
        self._kept = {node.residual_from for node in self.nodes} | set(self.skips)
        self._size_of = _upsampled_to(self.nodes) if config.odd_sizes == "match_skips" else {}
        first_joined = next(index for index, node in enumerate(self.nodes) if node.skip_from is not None)
        self._innermost = self.nodes[first_joined - 1].name
        self.gradient_checkpointing = False
        self._build_embeddings(config)
        for name, module in tree({node.name: build_node(node, config) for node in self.nodes}).items():
            self.add_module(name, module)

    def _build_embeddings(self, config: UNetConfig) -> None:
        time, width = config.time, config.embedding_channels
        self.time_proj = time_projection(time, config.time_channels)
        self.time_embedding = EmbeddingMLP(config.time_channels, width, time.cond_channels)
        label_width = config.time_channels if time.labels == "before" else width
        if config.num_classes is not None or config.class_projection is not None:
            self.class_embedding = class_embedding(config, label_width)
        if config.vector_channels is not None:
            self.add_embedding = EmbeddingMLP(config.vector_channels, label_width)
        if config.vector_time_channels is not None:
            self.add_time_proj = SinusoidalEmbedding(config.vector_time_channels, time.order, time.freq_shift)
        if config.augment_channels is not None:
            self.augment_embedding = nn.Linear(config.augment_channels, config.time_channels, bias=False)

    @property
    def config(self) -> UNetConfig:
        """What this network is."""
        return self._config

    @property
    def dtype(self) -> torch.dtype:
        """What `conv_in` computes in: diffusers' own looks through all modules, which every call would wait for."""
        conv_in = self.get_submodule("conv_in")
        if type(conv_in) is nn.Conv2d and "_diffusers_hook" not in vars(conv_in):
            return conv_in.weight.dtype
        dtype: torch.dtype = get_parameter_dtype(conv_in)  # of LoRA's layer, or a hook's
        return dtype

    @classmethod
    def from_config(cls, config: UNetConfig | Mapping[str, Any]) -> "UNet":
        """Build from a `UNetConfig` or from the contents of a `config.json`, ours or diffusers'.

        Raises:
            ValueError: a class or a field that is not covered; the message names it.
        """
        if isinstance(config, UNetConfig):
            return cls(config)
        return cls(read_config(config))

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        subfolder: str | None = None,
        **options: Any,  # noqa: ANN401  # as diffusers declares it
    ) -> Any:  # noqa: ANN401  # as diffusers declares it
        """Load a network of ours, or a `UNet2DModel` or `UNet2DConditionModel` of diffusers.

        Memory holds the weights once: the network is built on the meta device and takes the tensors as they are read.

        Args:
            pretrained_model_name_or_path: a folder with `config.json`, a model or pipeline folder with `unet/`, or a
                repository of the hub.
            subfolder: where in it the network is.
            **options: `torch_dtype`, `variant`, `device_map`, ... as `diffusers.ModelMixin` takes them.

        Returns:
            The network in evaluation mode; with `output_loading_info` also what diffusers says about the loading.

        Raises:
            InputError: no configuration, one that is not covered, or weights that are damaged or do not fit it; the
                message names the field or counts the tensors.
        """
        folder = find_network(pretrained_model_name_or_path, subfolder)
        if folder is not None:
            require_weights(folder, options.get("variant"))
        where = folder or pretrained_model_name_or_path
        place = {"subfolder": subfolder} if folder is None else {}
        with_info = options.pop("output_loading_info", False)
        options["ignore_mismatched_sizes"] = True  # so that they are counted, and refused below
        try:
            with contained():
                unet, found = super().from_pretrained(where, output_loading_info=True, **place, **options)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise refusal(where, error) from error
        misshaped = [f"{name} {tuple(got)} instead of {tuple(own)}" for name, got, own in found["mismatched_keys"]]
        require_fit(str(where), found["missing_keys"], found["unexpected_keys"], misshaped)
        return (unet, found) if with_info else unet

    def to_diffusers(self) -> ModelMixin:
        """The same network as diffusers' own class; it shares the weights with this one.

        Raises:
            ValueError: diffusers has no such network; the message names the first node or field that it lacks.
        """
        name, fields = write_config(self.config)
        with torch.device("meta"):
            model: ModelMixin = getattr(diffusers, name)(**fields)
        model.load_state_dict(self.state_dict(), assign=True)
        return model.train(self.training)

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
        timestep_cond: Tensor | None = None,
        cross_attention_kwargs: Mapping[str, Any] | None = None,
        vector: Tensor | None = None,
        augment_labels: Tensor | None = None,
        concat: Tensor | None = None,
        skip_scale: SkipScale | None = None,
        skip_site: SkipSite = "concat",
        join: Join | None = None,
        skip_cache: SkipCache | None = None,
        capture: Sequence[str] = (),
        replace: Mapping[str, Edit] | None = None,
        stop: bool = False,
        fork: Callable[[Fork], None] | None = None,
    ) -> UNetOutput | tuple[Any, ...]:
        """Run the network.

        Args:
            sample: (N, C, H, W), already scaled by c_in; C is `in_channels`, less `concat_channels` if `concat` comes.
            timestep: what the network is conditioned on (c_noise), one number or (N,).
            encoder_hidden_states: (N, M, cross_attention_dim), the tokens that cross-attention reads.
            class_labels: (N,) integers below `num_classes`, or -1 for the null class; with `class_projection` what
                that projects.
            added_cond_kwargs: SDXL's `text_embeds` (N, D) and `time_ids` (N, K), joined into `vector`.
            down_block_additional_residuals: one tensor per skip, outermost first, added to it (ControlNet).
            mid_block_additional_residual: added to the middle's output (ControlNet).
            return_dict: give a `UNetOutput` instead of a tuple.
            encoder_attention_mask: (N, M), true or 1 where a token may be read.
            timestep_cond: (N, time.cond_channels), the embedded guidance weight of a distilled network; none adds 0.
            cross_attention_kwargs: `scale` multiplies what LoRA layers add; `skip_scale` and `skip_site` are those
                below, since a pipeline of diffusers passes nothing else.
            vector: (N, vector_channels), continuous conditioning.
            augment_labels: (N, augment_channels), what was done to the image; none means nothing.
            concat: (N, concat_channels, H, W), concatenated to the sample.
            skip_scale: factor on the skip connections (skip-tuning): one number, a mapping by skip name, or one per
                skip in the order of `config.skips()` (innermost first) as a list, a tensor (skips,) or (N, skips).
            skip_site: where it acts: on the skip at its concatenation, on the shortcut path of the residual block
                there ("residual"), or on the output of that block's first norm ("norm").
            join: changes main path and skip where they meet, before `skip_scale` does (FreeU, measurements).
            skip_cache: filled if it is empty, else it stands for all nodes inside its skip, which are left out (see
                `unetdiff.caching`).
            capture: names of taps (see `taps`) that the output's `features` shall have.
            replace: functions by name of the tap: what the network is to go on with there in place of what it has.
            stop: run no node behind the last captured one; there is no `sample` then.
            fork: called in front of every node, to see what other modules in its place would make of the output.

        Raises:
            ValueError: a condition that the network lacks or misses, a tensor of the wrong width, a name that is no
                skip or no tap, or a tap that is not computed.
        """
        _require_whole(fork, skip_cache, stop)
        x = sample if concat is None else torch.cat([sample, concat.to(sample.dtype)], dim=1)
        _require_width("sample (with concat)", x, self.config.in_channels, dim=1)
        stride = self.config.stride if self.config.odd_sizes == "pad" else 1
        padding = Padding(height=x.shape[2], width=x.shape[3], stride=stride)
        x = padding.pad(x)
        lora_scale, skip_scale, skip_site = _pipeline_settings(cross_attention_kwargs, skip_scale, skip_site)
        taps = Taps(capture=capture, replace=replace or {}, points=self.taps)
        with lora_scaled(self, lora_scale):
            labels = self._label_embedding(x, class_labels, self._vector(vector, added_cond_kwargs))
            call = _Call(
                nodes=taps.reached(self._nodes_to_run(skip_cache), stop),
                embedding=self._embedding(x, timestep, timestep_cond, augment_labels, labels),
                context=encoder_hidden_states,
                bias=self._attention_bias(x, encoder_hidden_states, encoder_attention_mask),
                joint=Joint(
                    residuals=control_residuals(down_block_additional_residuals, self.skips),
                    join=join,
                    factors=skip_factors(skip_scale, self.skips),
                    site=skip_site,
                ),
                middle=mid_block_additional_residual,
                cache=skip_cache,
                taps=taps,
                padding=padding,
                timestep=timestep,
            )
            x = self._walk(x, call, fork)
        output = UNetOutput(
            sample=None if stop else self._output(x, call),
            features=taps.features if capture else None,
        )
        return output if return_dict else output.to_tuple()

    def _output(self, x: Tensor, call: _Call) -> Tensor:
        """What the last node gives, at the size of the input and as the configuration wants it."""
        x = call.padding.crop(x)
        if not self.config.divide_by_timestep:
            return x
        return x / torch.as_tensor(call.timestep, device=x.device).to(x.dtype).reshape(-1, 1, 1, 1)

    def _walk(self, x: Tensor, call: _Call, fork: Callable[[Fork], None] | None) -> Tensor:
        """Run the nodes one after the other; feature maps that a later one takes are kept under their names."""
        state = _State(x=x, kept={"sample": x})
        for index, node in enumerate(call.nodes):
            if fork is not None:
                fork(Fork(node=node, _unet=self, _state=state, _behind=call.nodes[index + 1 :], _call=call))
            self._step(state, node, self.get_submodule(node.name), call)
        return state.x

    def _step(self, state: _State, node: Node, module: nn.Module, call: _Call) -> None:
        """Go on by one node, which `module` computes."""
        x, kept = state.x, state.kept
        scales: Sequence[Tensor | None] = ()
        if node.skip_from is not None:
            d = kept.pop(node.skip_from)
            if call.cache is not None and node.skip_from == call.cache.skip:
                x = call.cache.exchange(node, x, d)
            x, *scales = call.joint(node, x, d)
        x = call.taps(f"{node.name}:input", x)
        x = call.taps(node.name, self._run(node, module, x, scales, kept, call))
        if node.name in self._kept:
            kept[node.name] = x
        if node.name == self._innermost and call.middle is not None:
            x = x + call.middle
        state.x = x

    def _nodes_to_run(self, cache: SkipCache | None) -> tuple[Node, ...]:
        """All nodes, or those up to the one that a cached skip comes from and those from the one that it joins at."""
        if cache is not None and cache.skip not in self.skips:
            raise ValueError(f"skip_cache: expected a skip among {list(self.skips)}, got {cache.skip!r}")
        if cache is None or cache.u is None:
            return self.nodes
        source = next(index for index, node in enumerate(self.nodes) if node.name == cache.skip)
        joins = next(index for index, node in enumerate(self.nodes) if node.skip_from == cache.skip)
        return self.nodes[: source + 1] + self.nodes[joins:]

    def _run(
        self,
        node: Node,
        module: nn.Module,
        x: Tensor,
        scales: Sequence[Tensor | None],
        kept: Mapping[str | None, Tensor],
        call: _Call,
    ) -> Tensor:
        """Apply one node, recomputing it in the backward pass where gradient checkpointing is on."""
        arguments: tuple[object, ...] = (x,)
        if isinstance(module, ResnetBlock):
            arguments = (x, call.embedding, *scales)
        elif isinstance(module, Stub):
            arguments = (x, *scales[:1])
        elif isinstance(module, Transformer):
            arguments = (x, call.context, call.bias)
        elif node.kind == "input_residual":
            arguments = (x, kept[node.residual_from])
        elif node.name in self._size_of:
            arguments = (x, kept[self._size_of[node.name]].shape[2:])
        if (tap := call.taps.inside(node)) is not None:
            out: Tensor = _uncompiled(module, arguments, tap)
        elif self.gradient_checkpointing and torch.is_grad_enabled():
            out = self._gradient_checkpointing_func(module, *arguments)
        else:
            out = module(*arguments)
        return F.silu(out) if node.kind == "norm" else out

    def _embedding(
        self,
        x: Tensor,
        timestep: Tensor | float,
        timestep_cond: Tensor | None,
        augment_labels: Tensor | None,
        labels: Tensor | None,
    ) -> Tensor:
        """What all residual blocks receive: (N, embedding_channels), through the SiLU that they share."""
        values = torch.as_tensor(timestep, device=x.device).expand(x.shape[0])
        embedding = self.time_proj(values).to(x.dtype)
        if augment_labels is not None:
            _require_accepted("augment_labels", augment_labels, self.config.augment_channels)
            embedding = embedding + self.augment_embedding(augment_labels.to(x.dtype))
        if timestep_cond is not None:
            _require_accepted("timestep_cond", timestep_cond, self.config.time.cond_channels)
            timestep_cond = timestep_cond.to(x.dtype)
        if labels is not None and self.config.time.labels == "before":
            embedding = embedding + labels
        embedding = self.time_embedding(embedding, timestep_cond)
        if labels is not None and self.config.time.labels == "after":
            embedding = embedding + labels
        return F.silu(embedding)

    def _label_embedding(self, x: Tensor, labels: Tensor | None, vector: Tensor | None) -> Tensor | None:
        """Sum of class and vector embeddings."""
        _require_presence("class_labels", labels, self.config.num_classes or self.config.class_projection)
        vector_name = "vector" if self.config.vector_time_channels is None else "added_cond_kwargs or vector"
        _require_presence(vector_name, vector, self.config.vector_channels)
        parts = []
        if labels is not None:
            parts.append(self.class_embedding(self._class_input(x, labels)))
        if vector is not None:
            assert self.config.vector_channels is not None
            _require_width(vector_name, vector, self.config.vector_channels, dim=1)
            parts.append(self.add_embedding(vector.to(x.dtype)))
        return sum(parts[1:], parts[0]) if parts else None

    def _class_input(self, x: Tensor, labels: Tensor) -> Tensor:
        """Class labels in the form that their embedding takes."""
        if isinstance(self.class_embedding, ClassEmbedding):
            return labels.expand(x.shape[0])
        if self.config.class_projection == "timestep":
            labels = self.time_proj(labels.expand(x.shape[0]))
        elif self.config.class_channels is not None:
            _require_width("class_labels", labels, self.config.class_channels, dim=1)
        return labels.to(x.dtype)

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


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _uncompiled(module: nn.Module, arguments: tuple[object, ...], tap: Tap) -> Tensor:
    """What a node's module gives while it is read inside: of a compiled one too, whose code knows nothing of taps."""
    with torch.compiler.set_stance("force_eager"):
        out: Tensor = module(*arguments, tap=tap)
    return out


def _pipeline_settings(
    passed: Mapping[str, Any] | None, skip_scale: SkipScale | None, skip_site: SkipSite
) -> tuple[float | None, SkipScale | None, SkipSite]:
    """LoRA's `scale`, `skip_scale` and `skip_site` of `cross_attention_kwargs`, or the arguments given beside it."""
    passed = passed or {}
    unknown = sorted(set(passed) - {"scale", "skip_scale", "skip_site"})
    if unknown:
        raise ValueError(f"cross_attention_kwargs: expected scale, skip_scale and skip_site, got {unknown}")
    if skip_scale is not None and "skip_scale" in passed:
        raise ValueError("skip_scale: expected it once, got it as an argument and in cross_attention_kwargs")
    return passed.get("scale"), passed.get("skip_scale", skip_scale), passed.get("skip_site", skip_site)


def _upsampled_to(nodes: Sequence[Node]) -> Mapping[str, str]:
    """For each upsampler the skip that is joined next, whose size it takes."""
    joined = {}
    for index, node in enumerate(nodes):
        if node.kind == "upsample":
            skip = nodes[index + 1].skip_from
            assert skip is not None
            joined[node.name] = skip
    return joined


def _require_whole(fork: object, cache: SkipCache | None, stop: bool) -> None:
    """A call with forks has to run all nodes."""
    if fork is not None and (stop or cache is not None):
        raise ValueError(f"fork: expected no {'stop' if stop else 'skip_cache'} beside it, got one")


def _require_width(name: str, x: Tensor, width: int, dim: int) -> None:
    if x.ndim <= dim or x.shape[dim] != width:
        raise ValueError(f"{name}: expected {width} channels in dimension {dim}, got shape {tuple(x.shape)}")


def _require_accepted(name: str, value: Tensor, width: int | None) -> None:
    """A condition that may be left out: refuse it where the network has no place for it."""
    if width is None:
        raise ValueError(f"{name}: expected nothing, as this network's configuration says, got a tensor")
    _require_width(name, value, width, dim=1)


def _require_presence(name: str, value: Tensor | None, place: object) -> None:
    if (value is None) != (place is None):
        expected, got = ("nothing", "a tensor") if place is None else ("a tensor", "None")
        raise ValueError(f"{name}: expected {expected}, as this network's configuration says, got {got}")
