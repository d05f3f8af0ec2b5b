"""Networks of Karras et al. 2022 (EDM): their state dict under our names, their arguments as our configuration.

EDM names a block by its place, `enc.16x16_block0`. One of its blocks is two of our nodes, a residual block and the
attention behind it; `enc.8x8_down` opens a level there, our downsampler closes the one before.
"""

import math
from collections.abc import Mapping

from torch import Tensor

from unetdiff.config import UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.interop.edm_network import EDMNetwork, edm_network
from unetdiff.interop.edm_wrapper import edm_wrapper
from unetdiff.interop.loading import denoiser_from
from unetdiff.interop.qkv import split_qkv
from unetdiff.model_info import JSON
from unetdiff.nodes import Node
from unetdiff.noise import IDDPMSchedule
from unetdiff.preconditioning import Epsilon, Preconditioning

__all__ = ["edm_config", "from_edm"]

_EMBEDDINGS = {
    "map_layer0": "time_embedding.linear_1",
    "map_layer1": "time_embedding.linear_2",
    "map_augment": "augment_embedding",
}
_BLOCKS = {  # by the name of the node without its numbers
    "conv_in": "enc.{size}x{size}_conv",
    "down_blocks.input_residual": "enc.{size}x{size}_aux_residual",
    "down_blocks.resnets": "enc.{size}x{size}_block{number}",
    "down_blocks.attentions": "enc.{size}x{size}_block{number}",
    "down_blocks.downsamplers": "enc.{size}x{size}_down",
    "mid_block.resnets": "dec.{size}x{size}_in{number}",
    "mid_block.attentions": "dec.{size}x{size}_in{number}",
    "up_blocks.resnets": "dec.{size}x{size}_block{number}",
    "up_blocks.attentions": "dec.{size}x{size}_block{number}",
    "up_blocks.upsamplers": "dec.{size}x{size}_up",
}
_RESNET = {
    ".norm0": ".norm1",
    ".conv0": ".conv1",
    ".affine": ".time_emb_proj",
    ".norm1": ".norm2",
    ".conv1": ".conv2",
    ".skip": ".conv_shortcut",
}
_PARTS: dict[str, dict[str, str]] = {  # by the kind of the node
    "conv": {"": ""},
    "norm": {"": ""},
    "resnet": _RESNET,
    "downsample": _RESNET,
    "upsample": _RESNET,
    "attention": {".norm2": ".group_norm", ".proj": ".to_out.0"},
    "input_residual": {"": ".conv"},
}
_DERIVED = ("resample_filter", "u")  # buffers that follow from the arguments


def from_edm(
    state_dict: Mapping[str, Tensor],
    network: Mapping[str, JSON],
    preconditioning: str | Preconditioning = "EDMPrecond",
) -> Denoiser:
    """The denoiser that a network of EDM is, in float32 and evaluation mode.

    Args:
        state_dict: of `SongUNet` or `DhariwalUNet`, or of the class that wraps it (with the prefix `model.`).
        network: `model_type`, `img_resolution`, `img_channels`, and what else differs from that class's defaults.
        preconditioning: the name of the class that wraps it, with its default numbers, or the preconditioning itself.

    Raises:
        InputError: tensors that are missing, unexpected or of another shape.
        ValueError: an argument that is unknown or asks for what is not covered; the message names it.
    """
    if isinstance(preconditioning, str):
        preconditioning = edm_wrapper(preconditioning).preconditioning({})
    arguments = edm_network(network)
    config = edm_config(arguments, preconditioning)
    source = {
        key.removeprefix("model."): tensor.float()
        for key, tensor in state_dict.items()
        if key.rpartition(".")[2] not in _DERIVED
    }
    weights = _renamed(_labels_as_table(source, config), config, arguments)
    return denoiser_from(config, weights, preconditioning)


def edm_config(network: EDMNetwork, preconditioning: Preconditioning) -> UNetConfig:
    """The network as ours; under iDDPM's wrapper it also gives a variance."""
    learned = isinstance(preconditioning, Epsilon) and isinstance(preconditioning.schedule, IDDPMSchedule)
    return network.unet_config(variance_channels=network.img_channels if learned else 0)


def _labels_as_table(source: Mapping[str, Tensor], config: UNetConfig) -> dict[str, Tensor]:
    """EDM's projection of one-hot labels as a vector for each class.

    SongUNet scales labels by sqrt(classes) and adds a bias, also for the null class: that bias joins the next layer's.
    """
    if config.num_classes is None or "map_label.weight" not in source:
        return dict(source)
    result = dict(source)
    table = result.pop("map_label.weight").T
    if config.time.labels == "after":
        return {**result, "class_embedding.weight": table}
    missing = [name for name in ("map_label.bias", "map_layer0.weight", "map_layer0.bias") if name not in result]
    if missing:
        raise InputError(f"weights: expected {', '.join(missing)}, got nothing of that name")
    carried = result["map_layer0.weight"].double() @ result.pop("map_label.bias").double()
    bias = (result["map_layer0.bias"].double() + carried).float()
    return {**result, "class_embedding.weight": math.sqrt(config.num_classes) * table, "map_layer0.bias": bias}


def _renamed(source: Mapping[str, Tensor], config: UNetConfig, network: EDMNetwork) -> dict[str, Tensor]:
    """Our names for EDM's; a tensor that has none keeps its own, for the message that refuses it."""
    blocks = {node: _block(node, network) for node in config.nodes()}
    fused = {f"{block}.qkv": node for node, block in blocks.items() if node.kind == "attention"}
    modules = {
        **_EMBEDDINGS,
        **{f"{block}{a}": f"{node.name}{b}" for node, block in blocks.items() for a, b in _PARTS[node.kind].items()},
    }
    weights = {}
    for key, tensor in source.items():
        module, _, part = key.rpartition(".")
        if key == "map_noise.freqs":
            weights["time_proj.weight"] = tensor
        elif module in fused:
            weights.update(_attention_inputs(fused[module], part, tensor))
        else:
            weights[f"{modules.get(module, module)}.{part}"] = _linear(tensor) if module.endswith(".proj") else tensor
    return weights


def _block(node: Node, network: EDMNetwork) -> str:
    """EDM's block that a node is, or is part of."""
    if node.name in network.output_blocks:
        return network.output_blocks[node.name]
    parts = node.name.split(".")
    unnumbered = ".".join(part for part in parts if not part.isdigit())
    return _BLOCKS[unnumbered].format(size=network.img_resolution // node.stride, number=parts[-1])


def _attention_inputs(node: Node, part: str, fused: Tensor) -> dict[str, Tensor]:
    assert node.attention is not None
    pieces = split_qkv(_linear(fused), node.attention.heads_for(node.out_channels), "interleaved")
    return {f"{node.name}.to_{name}.{part}": piece for name, piece in zip("qkv", pieces, strict=True)}


def _linear(tensor: Tensor) -> Tensor:
    """The weight of a 1x1 convolution as that of a linear layer; a bias stays."""
    return tensor.flatten(1) if tensor.ndim > 1 else tensor
