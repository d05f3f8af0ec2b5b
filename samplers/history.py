"""What a multistep method remembers: the predictions of its last steps and the noise levels that they belong to."""

from torch import Tensor

__all__ = ["History", "remember"]

History = tuple[tuple[float, Tensor], ...]
"""Pairs (sigma, prediction), newest first."""


def remember(history: History | None, sigma: float, prediction: Tensor, depth: int) -> History:
    """Put a prediction in front and forget what is older than `depth`."""
    return ((sigma, prediction), *(history or ()))[:depth]
