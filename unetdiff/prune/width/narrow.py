"""A network whose parts are narrower inside."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from unetdiff.plain import require
from unetdiff.prune.assembly import assemble
from unetdiff.prune.width.units import Part, parts
from unetdiff.unet import UNet

__all__ = ["narrow"]


def narrow(unet: UNet, kept: Mapping[str, Sequence[int]]) -> UNet:
    """A new network with these units alone in these parts; it shares all tensors that stay whole with `unet`.

    Args:
        unet: the network; it is not changed.
        kept: numbers of the units that stay, by name of the part (`unetdiff.prune.width.units.parts`): groups of
            channels of a residual block, heads, channels of a feed-forward layer, as the network has them now.

    Raises:
        ValueError: a name or a number that the network does not have, or no unit at all.
    """
    found = parts(unet.config)
    indices = {name: _indices(name, numbers, found) for name, numbers in kept.items()}
    config = replace(unet.config, widths=_widths(unet.config.widths, indices, found))
    tensors = unet.state_dict(keep_vars=True)
    for name, index in indices.items():
        for cut in found[name].cuts:
            whole = tensors[cut.parameter]
            tensors[cut.parameter] = cut.keep(whole.detach(), found[name].units, index)
            tensors[cut.parameter].requires_grad_(whole.requires_grad)
    return assemble(config, tensors.__getitem__, unet.training)


def _indices(name: str, numbers: Sequence[int], found: Mapping[str, Part]) -> Tensor:
    require(name in found, "kept", "names of residual blocks, attention and feed-forward layers", name)
    units = found[name].units
    fits = len(numbers) > 0 and len(set(numbers)) == len(numbers) and all(0 <= number < units for number in numbers)
    require(fits, f"kept.{name}", f"different numbers below {units}, at least one", list(numbers))
    return torch.tensor(sorted(numbers))


def _widths(earlier: Mapping[str, int], indices: Mapping[str, Tensor], found: Mapping[str, Part]) -> dict[str, int]:
    """The narrower parts only, in the order of computation: a network that keeps all says nothing."""
    widths = {**earlier, **{name: len(index) * found[name].step for name, index in indices.items()}}
    return {name: widths[name] for name, part in found.items() if name in widths and widths[name] < part.whole}
