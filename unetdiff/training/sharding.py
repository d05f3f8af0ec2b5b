"""A training state in parts: under FSDP2 each process holds a slice of every parameter, a `DTensor`.

The optimiser's memory and the averages are sliced like the parameters they belong to. What is written is whole, so that
any number of processes can go on from it. `whole`, `gather` and `scatter` are collective: all processes call them.
"""

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from unetdiff.training.checkpoint import TrainingState
from unetdiff.training.optimizer import clear_memory

__all__ = ["gather", "is_sharded", "local", "scatter", "shard", "whole"]


def is_sharded(module: nn.Module) -> bool:
    """Whether this process holds only a part of the parameters."""
    return any(isinstance(parameter, DTensor) for parameter in module.parameters())


def whole(tensor: Tensor) -> Tensor:
    """The tensor itself, or what all processes together hold of it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """The tensor itself, or what this process holds of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def shard(state: TrainingState) -> None:
    """Let averages and optimiser, which are as before the first step, follow a network that has been sharded."""
    clear_memory(state.optimizer)
    for average in state.ema.models.values():
        for (name, parameter), like in zip(average.named_parameters(), state.unet.parameters(), strict=True):
            parent, _, leaf = name.rpartition(".")
            part = nn.Parameter(_part(parameter.detach(), like), requires_grad=False)
            setattr(average.get_submodule(parent), leaf, part)


@torch.no_grad()
def gather(state: TrainingState, into: TrainingState) -> None:
    """Copy a sharded state into a whole one of the same run."""
    target = into.tensors()
    for file, tensors in state.tensors().items():
        for name, tensor in tensors.items():
            target[file][name].copy_(whole(tensor))
    into.scaler, into.step, into.seconds = state.scaler, state.step, state.seconds


@torch.no_grad()
def scatter(state: TrainingState, into: TrainingState) -> None:
    """Copy a whole state into a sharded one of the same run."""
    source = state.tensors()
    for file, tensors in into.tensors().items():
        for name, tensor in tensors.items():
            tensor.copy_(_part(source[file][name].to(tensor.device), tensor))
    into.step, into.seconds = state.step, state.seconds


def _part(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of `tensor`, as it holds one of `like`."""
    return distribute_tensor(tensor, like.device_mesh, like.placements) if isinstance(like, DTensor) else tensor
