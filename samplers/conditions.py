"""Two conditions in one batch: the first half of its rows under one, the second under the other."""

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["joined"]


def joined(first: Mapping[str, object], second: Mapping[str, object]) -> dict[str, object]:
    """Concatenate two conditions, name by name, also inside mappings and sequences.

    Tensors have a row for each image; where one of the two has a single row, that row serves for all. Everything else,
    None and numbers, has to be the same in both.

    Raises:
        ValueError: what no single call can be given, token sequences of different length for instance; the message
            names it.
    """
    if first.keys() != second.keys():
        raise ValueError(f"conditions: expected the same names twice, got {sorted(first)} and {sorted(second)}")
    return {name: _joined(name, value, second[name]) for name, value in first.items()}


def _joined(name: str, first: object, second: object) -> object:
    match first, second:
        case Tensor(), Tensor():
            return _rows(name, first, second)
        case Mapping(), Mapping():
            return joined(first, second)
        case (list() | tuple(), list() | tuple()) if len(first) == len(second):
            return [_joined(f"{name}[{i}]", *values) for i, values in enumerate(zip(first, second, strict=True))]
        case (Tensor(), _) | (_, Tensor()):
            kinds = f"{type(first).__name__} and {type(second).__name__}"
            raise ValueError(f"{name}: expected a tensor twice, got {kinds}")
    if first != second:
        raise ValueError(f"{name}: expected the same value twice, got {first!r} and {second!r}")
    return first


def _rows(name: str, first: Tensor, second: Tensor) -> Tensor:
    shapes = (tuple(first.shape), tuple(second.shape))
    if () in shapes or shapes[0][1:] != shapes[1][1:] or len({1, len(first), len(second)}) > 2:
        raise ValueError(f"{name}: expected a row for each image and rows of equal shape, got {shapes[0]}, {shapes[1]}")
    rows = max(len(first), len(second))
    return torch.cat([tensor.expand(rows, *shapes[0][1:]) for tensor in (first, second)])
