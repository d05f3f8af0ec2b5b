"""What each unit of a network is worth: scores for width pruning, from the numbers that its slices hold.

magnitude   ||w||_2 over the unit's weights w: Li et al. 2017, https://arxiv.org/abs/1608.08710 (there L1, of filters)
Taylor      |sum w dL/dw|, the change of the loss L to first order when w goes to zero: Molchanov et al. 2019,
            https://arxiv.org/abs/1906.10771, equation 7 without its square
"""

from collections.abc import Callable

import torch
from torch import Tensor

from unetdiff.prune.width.units import parts
from unetdiff.unet import UNet

__all__ = ["magnitudes", "taylor"]


def magnitudes(unet: UNet) -> dict[str, Tensor]:
    """The score (units,) of each part by its weights."""
    return {name: squares.sqrt() for name, squares in _sums(unet, _square).items()}


def taylor(unet: UNet) -> dict[str, Tensor]:
    """The score (units,) of each part by its weights and the gradients that backward passes left in `.grad`.

    Raises:
        ValueError: a parameter without a gradient.
    """
    return {name: sums.abs() for name, sums in _sums(unet, _weighted_gradient).items()}


def _square(parameter: Tensor) -> Tensor:
    return parameter.float().square()


def _weighted_gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        raise ValueError(f"taylor: expected a gradient of every parameter, got none of {tuple(parameter.shape)}")
    return parameter.float() * parameter.grad.float()


@torch.no_grad()
def _sums(unet: UNet, of: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """By part, the sum over all numbers of each unit."""
    return {
        name: torch.stack(
            [cut.by_unit(of(unet.get_parameter(cut.parameter)), part.units).sum(1).cpu() for cut in part.cuts]
        ).sum(0)
        for name, part in parts(unet.config).items()
    }
