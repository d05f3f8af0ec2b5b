"""What a multistep method remembers: the predictions of its last steps and the noise levels that they belong to."""

from torch import Tensor

__all__ = ["History", "remember"]

History = tuple[tuple[Tensor, Tensor], ...]
"""Pairs (sigma, prediction), newest first."""


def remember(history: History | None, sigma: Tensor, prediction: Tensor, depth: int) -> History:
    """Put a prediction in front and forget what is older than `depth`."""
    return ((sigma, prediction), *(history or ()))[:depth]
