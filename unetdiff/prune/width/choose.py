"""Which units stay: the same share of each part, or the best of all parts within a budget of parameters."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from unetdiff.errors import InputError
from unetdiff.plain import require
from unetdiff.prune.width.units import parts
from unetdiff.unet import UNet

__all__ = ["cheapest", "strongest"]


def strongest(scores: Mapping[str, Tensor], share: float) -> dict[str, list[int]]:
    """The units of greatest score in each part, as many as `share` of them says, rounded up.

    Scores need not compare between parts.
    """
    require(0 < share <= 1, "share", "a number above 0, up to 1", share)
    return {name: sorted(score.topk(math.ceil(share * len(score))).indices.tolist()) for name, score in scores.items()}


def cheapest(unet: UNet, scores: Mapping[str, Tensor], least: int) -> dict[str, list[int]]:
    """What stays when units go by score per parameter, over all parts, until `least` parameters are saved.

    The greatest unit of each part stays: a part that should go as a whole is layer pruning's.

    Raises:
        InputError: all that can go saves less.
    """
    found = parts(unet.config)
    names = list(scores)
    owner = torch.cat([torch.full((len(score),), place) for place, score in enumerate(scores.values())])
    unit = torch.cat([torch.arange(len(score)) for score in scores.values()])
    savings = torch.tensor(
        [
            sum(unet.get_parameter(cut.parameter).numel() for cut in found[name].cuts) // found[name].units
            for name in names
        ]
    )[owner]
    price = torch.cat([_with_a_survivor(score.double()) for score in scores.values()]) / savings
    order = price.argsort(stable=True)
    order = order[price[order].isfinite()]
    saved = savings[order].cumsum(0)
    if least > (most := int(saved[-1]) if len(saved) else 0):
        raise InputError(f"budget: a saving of at most {most} parameters can be reached, got {least}")
    stays = torch.ones(len(price), dtype=torch.bool)
    stays[order[: int(torch.searchsorted(saved, least)) + 1 if least > 0 else 0]] = False
    return {name: unit[stays & (owner == place)].tolist() for place, name in enumerate(names)}


def _with_a_survivor(score: Tensor) -> Tensor:
    """The score with infinity at its greatest."""
    return score.index_fill(0, score.argmax(), math.inf)
