"""AdamW whose moments are quantised to eight bits, block by block (Dettmers et al. 2022); bitsandbytes computes it.

Tensors of fewer than 4096 elements keep float32 moments.
"""

from typing import Any

import torch

from unetdiff.errors import InputError
from unetdiff.training.config import OptimizerConfig

__all__ = ["build_adamw8bit"]


def build_adamw8bit(config: OptimizerConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """AdamW over groups of named parameters, its memory in place before the first step.

    Raises:
        InputError: bitsandbytes is not installed.
    """
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        expected = "adam or adamw where bitsandbytes cannot be imported (pip install bitsandbytes)"
        raise InputError(f"optimizer.kind: expected {expected}, got adamw8bit: {error}") from error
    optimizer: torch.optim.Optimizer = AdamW8bit(
        groups, lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay
    )
    for group_index, group in enumerate(optimizer.param_groups):
        for index, parameter in enumerate(group["params"]):
            optimizer.init_state(group, parameter, group_index, index)  # type: ignore[attr-defined]  # bitsandbytes'
    return optimizer
