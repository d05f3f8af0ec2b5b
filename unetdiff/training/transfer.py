"""From the weights of one network to those that another one starts with.

Both are the same but for the widths of what goes in and comes out. Of a tensor whose shape differs, the part that both
have is taken; the rest is zero, so that new channels and new classes add nothing yet: a new class starts as the null
class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unetdiff.config import UNetConfig
from unetdiff.errors import InputError
from unetdiff.training.identity import differences
from unetdiff.unet import UNet

__all__ = ["Transfer", "transfer"]

ADAPTABLE = ("in_channels", "concat_channels", "out_channels", "variance_channels", "num_classes", "augment_channels")
WITHOUT_WEIGHTS = ("sample_size", "odd_sizes")


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What became of the tensors: how many were taken as they are, the others one phrase each."""

    unet: UNet
    taken: int
    changed: tuple[str, ...]

    def __str__(self) -> str:
        """In one line."""
        return "; ".join([f"{self.taken} tensors as they are", *self.changed])


def transfer(source: UNet, config: UNetConfig) -> Transfer:
    """A network of `config` with the weights of `source`.

    Raises:
        InputError: they differ in more than the widths of input, output and labels.
    """
    _require_alike(source.config, config)
    with torch.device("meta"):
        unet = UNet(config)
    given, wanted = source.state_dict(), unet.state_dict()
    unet.load_state_dict({name: _fitted(given.get(name), like) for name, like in wanted.items()}, assign=True)
    same = [name for name, like in wanted.items() if name in given and given[name].shape == like.shape]
    return Transfer(unet=unet, taken=len(same), changed=tuple(_changed(given, wanted)))


def _require_alike(given: UNetConfig, wanted: UNetConfig) -> None:
    different = differences(_core(given), _core(wanted))
    if different:
        raise InputError(f"model: expected the network of init but for {', '.join(ADAPTABLE)}, got {different[0]}")


def _core(config: UNetConfig) -> dict[str, Any]:
    """What must be the same."""
    values = config.to_dict()
    del values["resnet"]["dropout"]
    return {name: value for name, value in values.items() if name not in ADAPTABLE + WITHOUT_WEIGHTS}


def _fitted(given: Tensor | None, like: Tensor) -> Tensor:
    if given is not None and given.shape == like.shape:
        return given
    fitted = torch.zeros(like.shape)
    if given is not None:
        common = tuple(slice(min(sizes)) for sizes in zip(given.shape, like.shape, strict=True))
        fitted[common] = given[common]
    return fitted


def _changed(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    phrases = []
    for name in dict.fromkeys([*given, *wanted]):
        before, after = (tuple(side[name].shape) if name in side else None for side in (given, wanted))
        if before is None:
            phrases.append(f"{name} {after} is new, zeros")
        elif after is None:
            phrases.append(f"{name} {before} is left out")
        elif before != after:
            phrases.append(f"{name} {after} is the part of {before} that fits, and zeros")
    return phrases
