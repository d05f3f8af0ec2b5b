"""Skip-tuning of the shortcut path baked into its weights: a plain checkpoint for any runtime.

W [u, rho d] = [W_u, rho W_d] [u, d]             (W the block's 1x1 projection; Ma et al. 2024, appendix C)
"""

import copy

import torch
from torch import Tensor

from unetdiff.nn.resnet import ResnetBlock
from unetdiff.nn.skip import SkipScale, skip_factors
from unetdiff.nn.stub import Stub
from unetdiff.plain import require
from unetdiff.unet import UNet

__all__ = ["fold_skip_scale"]


def fold_skip_scale(unet: UNet, skip_scale: SkipScale) -> UNet:
    """A copy that computes without `skip_scale` what `unet` computes with it and `skip_site="residual"`.

    Raises:
        ValueError: a factor for each image, which no weight can hold, or one that `UNet.forward` would refuse.
    """
    per_image = isinstance(skip_scale, Tensor) and skip_scale.ndim > 1
    require(not per_image, "skip_scale", "one factor per skip, the same for all images", skip_scale)
    folded = copy.deepcopy(unet)
    factors = skip_factors(skip_scale, unet.skips)
    for node in unet.nodes:
        if node.skip_from is not None and node.skip_from in factors:
            block = folded.get_submodule(node.name)
            assert isinstance(block, ResnetBlock | Stub)
            assert block.conv_shortcut is not None, "a block that joins a skip narrows its input"
            with torch.no_grad():
                block.conv_shortcut.weight[:, node.in_channels :] *= factors[node.skip_from]
    return folded
