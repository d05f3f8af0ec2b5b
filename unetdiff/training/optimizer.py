"""Adam(W) over named parameters, and its learning rate as a pure function of the optimiser step."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unetdiff.training.adamw8bit import build_adamw8bit
from unetdiff.training.config import OptimizerConfig

__all__ = [
    "build_optimizer",
    "clear_memory",
    "learning_rate",
    "optimizer_numbers",
    "optimizer_tensors",
    "restore_optimizer_numbers",
]

CONSTANTS = ("qmap1", "qmap2")  # bitsandbytes' tables of what a quantised number means, one for all parameters


def build_optimizer(
    config: OptimizerConfig, named_parameters: Iterable[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """The optimiser of `config.kind`; weight decay leaves biases, gains and other vectors alone."""
    named = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [(name, parameter) for name, parameter in named if parameter.ndim > 1]},
        {"params": [(name, parameter) for name, parameter in named if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return build_adamw8bit(config, groups) if config.kind == "adamw8bit" else _build_adam(config, groups)


def _build_adam(config: OptimizerConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    kind = torch.optim.Adam if config.kind == "adam" else torch.optim.AdamW
    optimizer = kind(
        groups, lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay, fused=True
    )
    clear_memory(optimizer)  # now instead of at the first step, so that a checkpoint always finds its place
    return optimizer


def clear_memory(optimizer: torch.optim.Optimizer) -> None:
    """What Adam remembers of each parameter, as it is before the first step."""
    optimizer.state.clear()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """Rate of update number `step` (from 0) of a run of `steps`: linear warm-up, then decay that ends at `steps`."""
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    progress = max(0, step - config.warmup_steps) / (steps - config.warmup_steps)
    decay = {
        "none": 1.0,
        "linear": 1.0 - progress,
        "cosine": (1.0 + math.cos(math.pi * progress)) / 2,
    }[config.decay]
    return config.lr * warmup * decay


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's memory, `{parameter name}:{step, exp_avg, exp_avg_sq}` or what else it calls its tensors."""
    return {
        f"{name}:{key}": value
        for name, memory in _memories(optimizer)
        for key, value in memory.items()
        if isinstance(value, Tensor) and key not in CONSTANTS
    }


def optimizer_numbers(optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """What an optimiser counts as plain numbers, by the same names; none of torch's own does."""
    return {
        f"{name}:{key}": value
        for name, memory in _memories(optimizer)
        for key, value in memory.items()
        if isinstance(value, int)
    }


def restore_optimizer_numbers(optimizer: torch.optim.Optimizer, numbers: Mapping[str, int]) -> None:
    """The inverse of `optimizer_numbers`."""
    for name, memory in _memories(optimizer):
        memory.update({key: numbers[f"{name}:{key}"] for key in memory if f"{name}:{key}" in numbers})


def _memories(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, dict[str, Any]]]:
    """The state of each parameter, by its name."""
    for group in optimizer.param_groups:
        for name, parameter in zip(group["param_names"], group["params"], strict=True):
            yield name, optimizer.state[parameter]
