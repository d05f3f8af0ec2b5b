"""Weights that start at zero, so that a residual branch begins as nothing (Dhariwal & Nichol 2021, zero_module)."""

from torch import nn

__all__ = ["zero_"]


def zero_(layer: nn.Module) -> None:
    """Set all parameters of a layer to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
