"""The averages themselves: copies of a network that follow its weights."""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from unetdiff.training.averages.ema import EMA

__all__ = ["AveragedWeights"]

M = TypeVar("M", bound=nn.Module)


class AveragedWeights(Generic[M]):
    """One copy of `model`, in its dtype, for each average of `ema`; each can be used like the original.

    They share the parameters that are not trained with it.
    """

    def __init__(self, model: M, ema: EMA) -> None:
        self.ema = ema
        frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
        self.models = {
            name: copy.deepcopy(model, {id(parameter): parameter for parameter in frozen}).eval().requires_grad_(False)
            for name in ema.names
        }

    @property
    def model(self) -> M:
        """The average that previews and the model folder show."""
        return self.models[self.ema.chosen]

    @torch.no_grad()
    def update(self, model: M, t: int) -> None:
        """Make update number t; called once per optimiser step, however many batches that accumulates."""
        trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        current: list[Tensor] = list(trained.values())
        for average, decay in zip(self.models.values(), self.ema.decays(t), strict=True):
            torch._foreach_lerp_([average.get_parameter(name) for name in trained], current, 1 - decay)
