"""Functions of a noise level, which is one number or a tensor with one for each row.

Samplers ask at one number: its functions take a hundredth of the time that the smallest tensor's do, and no device is
waited for.
"""

import math
from collections.abc import Callable
from typing import TypeVar, overload

import torch
from torch import Tensor

__all__ = ["Level", "clamp", "log", "on_tensor", "sqrt"]

Level = TypeVar("Level", float, Tensor)


@overload
def sqrt(level: float) -> float: ...
@overload
def sqrt(level: Tensor) -> Tensor: ...
def sqrt(level: float | Tensor) -> float | Tensor:
    """Square root."""
    return level.sqrt() if isinstance(level, Tensor) else math.sqrt(level)


@overload
def log(level: float) -> float: ...
@overload
def log(level: Tensor) -> Tensor: ...
def log(level: float | Tensor) -> float | Tensor:
    """Natural logarithm."""
    return level.log() if isinstance(level, Tensor) else math.log(level)


@overload
def clamp(level: float, low: float, high: float) -> float: ...
@overload
def clamp(level: Tensor, low: float, high: float) -> Tensor: ...
def clamp(level: float | Tensor, low: float, high: float) -> float | Tensor:
    """The nearest value in [low, high]."""
    return level.clamp(low, high) if isinstance(level, Tensor) else min(max(level, low), high)


@overload
def on_tensor(function: Callable[[Tensor], Tensor], level: float) -> float: ...
@overload
def on_tensor(function: Callable[[Tensor], Tensor], level: Tensor) -> Tensor: ...
def on_tensor(function: Callable[[Tensor], Tensor], level: float | Tensor) -> float | Tensor:
    """A function of tensors alone, of a number in float64 or of a tensor, whose precision it keeps."""
    if isinstance(level, Tensor):
        return function(level).to(level.dtype)
    return float(function(torch.tensor(level, dtype=torch.float64)))
