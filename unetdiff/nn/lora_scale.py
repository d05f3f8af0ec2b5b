"""The strength of LoRA layers for one call, as diffusers' pipelines pass it in `cross_attention_kwargs`."""

from collections.abc import Iterator
from contextlib import contextmanager

from diffusers.utils import scale_lora_layers
from torch import nn

__all__ = ["lora_scaled"]


@contextmanager
def lora_scaled(network: nn.Module, scale: float | None) -> Iterator[None]:
    """LoRA layers multiplied by `scale`; afterwards each has its own scale back. None changes nothing."""
    if scale is None or not getattr(network, "_hf_peft_config_loaded", False):
        yield
        return
    from peft.tuners.tuners_utils import BaseTunerLayer  # which whoever loaded a LoRA has

    layers = [module for module in network.modules() if isinstance(module, BaseTunerLayer)]
    scalings = [dict(layer.scaling) for layer in layers]
    scale_lora_layers(network, scale)
    try:
        yield
    finally:
        for layer, scaling in zip(layers, scalings, strict=True):
            layer.scaling.update(scaling)
