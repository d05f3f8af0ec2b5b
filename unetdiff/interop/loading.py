"""Tensors that already carry our names, put into the network that a configuration describes.

The network is built on the meta device and takes the tensors as they are, so nothing is initialised or held twice.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from unetdiff.config import UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.fit import require_fit
from unetdiff.preconditioning import Preconditioning
from unetdiff.unet import UNet

__all__ = ["denoiser_from"]


def denoiser_from(config: UNetConfig, weights: Mapping[str, Tensor], preconditioning: Preconditioning) -> Denoiser:
    """The denoiser of these weights, in evaluation mode and in the weights' own precision.

    Args:
        config: what the network is.
        weights: its state dict, exactly.
        preconditioning: what the network's output means.

    Raises:
        InputError: tensors that are missing, unexpected or of another shape; the message counts and names them.
    """
    with torch.device("meta"):
        unet = UNet(config)
    expected = unet.state_dict()
    misshaped = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    missing, unexpected = expected.keys() - weights.keys(), weights.keys() - expected.keys()
    require_fit("state_dict", sorted(missing), sorted(unexpected), misshaped)
    unet.load_state_dict({name: tensor.contiguous() for name, tensor in weights.items()}, assign=True)
    return Denoiser(unet, preconditioning).eval()
