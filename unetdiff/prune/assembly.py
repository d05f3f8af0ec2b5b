"""A smaller network from tensors of a larger one, without ever building the larger one's parameters again."""

from collections.abc import Callable

import torch
from torch import Tensor

from unetdiff.config import UNetConfig
from unetdiff.unet import UNet

__all__ = ["assemble"]


def assemble(config: UNetConfig, tensor_of: Callable[[str], Tensor], training: bool) -> UNet:
    """The network of this configuration with the tensor that belongs to each name, and its `requires_grad`.

    It is built on the meta device and shares the tensors' memory.
    """
    with torch.device("meta"):
        unet = UNet(config)
    tensors = {name: tensor_of(name) for name in unet.state_dict()}
    unet.load_state_dict({name: tensor.detach() for name, tensor in tensors.items()}, assign=True)
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(tensors[name].requires_grad)
    unet.train(training)
    return unet
