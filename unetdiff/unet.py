"""The network: built from the nodes of its configuration, run by walking them.

Ronneberger et al. 2015 with the time conditioning of Ho et al. 2020; skip-tuning after Ma et al. 2024 (definition 3.1).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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

from unetdiff.config import UNetConfig
from unetdiff.diffusers_config import read_config, write_config
from unetdiff.fit import require_fit
from unetdiff.nn.build import build_node, tree
from unetdiff.nn.conditioned import Conditioned, require_width
from unetdiff.nn.lora_scale import lora_scaled
from unetdiff.nn.padding import Padding
from unetdiff.nn.skip import Join, Joint, SkipScale, SkipSite, control_residuals, skip_factors
from unetdiff.nn.taps import Edit, Taps
from unetdiff.tap_points import tap_points
from unetdiff.walk import Fork, Route, SkipCache, Walk
from unetdiff.weight_source import contained, find_network, refusal, require_weights

__all__ = ["UNet", "UNetOutput"]


@dataclass
class UNetOutput(BaseOutput):
    """`sample`: the raw network output, (N, out_channels, H, W); `features`: what was captured, by name of its tap.

    Each is None where there is none: a network that stopped early has no sample.
    """

    sample: Tensor | None = None
    features: dict[str, Tensor] | None = None


class UNet(Conditioned, ModelMixin, ConfigMixin, PeftAdapterMixin):
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
        self._route = Route.of(self.nodes, self.skips, match_sizes=config.odd_sizes == "match_skips")
        self.gradient_checkpointing = False
        self._build_embeddings(config)
        for name, module in tree({node.name: build_node(node, config) for node in self.nodes}).items():
            self.add_module(name, module)

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
        require_width("sample (with concat)", x, self.config.in_channels, dim=1)
        stride = self.config.stride if self.config.odd_sizes == "pad" else 1
        padding = Padding(height=x.shape[2], width=x.shape[3], stride=stride)
        x = padding.pad(x)
        lora_scale, skip_scale, skip_site = _pipeline_settings(cross_attention_kwargs, skip_scale, skip_site)
        taps = Taps(capture=capture, replace=replace or {}, points=self.taps)
        with lora_scaled(self, lora_scale):
            labels = self._label_embedding(x, class_labels, self._vector(vector, added_cond_kwargs))
            walk = Walk(
                route=self._route,
                nodes=taps.reached(self._route.without_cached(skip_cache), stop),
                module=self.get_submodule,
                checkpoint=self._checkpointing(),
                finish=partial(self._finished, padding=padding, timestep=timestep),
                embedding=self._embedding(x, timestep, timestep_cond, augment_labels, labels),
                context=None if encoder_hidden_states is None else encoder_hidden_states.to(x.dtype),
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
            )
            x = walk.run(x, fork)
        output = UNetOutput(sample=None if stop else walk.finish(x), features=taps.features if capture else None)
        return output if return_dict else output.to_tuple()

    def _finished(self, x: Tensor, padding: Padding, timestep: Tensor | float) -> Tensor:
        """What the last node gives, at the size of the input and as the configuration wants it."""
        x = padding.crop(x)
        if not self.config.divide_by_timestep:
            return x
        return x / torch.as_tensor(timestep, device=x.device).to(x.dtype).reshape(-1, 1, 1, 1)

    def _checkpointing(self) -> Callable[..., Tensor] | None:
        """diffusers' function for it, where it is on and there will be a backward pass."""
        on = self.gradient_checkpointing and torch.is_grad_enabled()
        return self._gradient_checkpointing_func if on else None

    def compile_blocks(self) -> None:
        """Compile block by block: equal blocks share their code, which is far less than the network; keys stay.

        The number of compiled variants is the number of different (block, width, size), above torch's usual limit.
        """
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 2 * len(self.nodes))
        self.compile_repeated_blocks(fullgraph=True, dynamic=False)


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


def _require_whole(fork: object, cache: SkipCache | None, stop: bool) -> None:
    """A call with forks has to run all nodes."""
    if fork is not None and (stop or cache is not None):
        raise ValueError(f"fork: expected no {'stop' if stop else 'skip_cache'} beside it, got one")
