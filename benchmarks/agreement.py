"""Whether two networks compute the same function."""

import torch
from torch import Tensor, nn

__all__ = ["disagreement", "randomise_zeros_"]


@torch.no_grad()
def randomise_zeros_(network: nn.Module, std: float = 0.02) -> None:
    """Fill parameters that start at zero: where branches contribute nothing, two networks agree too easily."""
    for parameter in network.parameters():
        if not parameter.any():
            parameter.normal_(std=std)


@torch.no_grad()
def disagreement(ours: nn.Module, theirs: nn.Module, x: Tensor, timestep: Tensor) -> float:
    """Greatest difference between the outputs, relative to the greatest output."""
    a, b = (network(x, timestep, return_dict=False)[0] for network in (ours, theirs))
    return float((a - b).abs().max() / b.abs().max())
