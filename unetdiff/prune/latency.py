"""Measured time: of whole networks side by side, and what a network saves without each of its parts.

Candidates take turns, so that whatever else the machine does meets all of them alike; medians are over rounds.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median

import torch
from torch import Tensor

from unetdiff.denoiser import Denoiser
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.forked import at_parts
from unetdiff.prune.parts import Part
from unetdiff.walk import Fork

__all__ = ["milliseconds", "nanoseconds_saved"]

ROUNDS = 7


@torch.no_grad()
def milliseconds(denoisers: Mapping[str, Denoiser], batch: Calibration, rounds: int = ROUNDS) -> dict[str, float]:
    """Median time of one call of each on a batch, after one that is not counted."""
    taken: dict[str, list[int]] = defaultdict(list)
    for _ in range(1 + rounds):
        for name, denoiser in denoisers.items():
            work = partial(denoiser, batch.x, batch.sigma, **batch.condition)
            taken[name].append(_nanoseconds(work, batch.x.device))
    return {name: median(times[1:]) / 1e6 for name, times in taken.items()}


def nanoseconds_saved(
    denoiser: Denoiser, parts: Sequence[Part], batch: Calibration, rounds: int = ROUNDS
) -> dict[str, int]:
    """Median over rounds of what each part's node takes with it less what it takes without, or 0, by part."""
    saved: dict[str, list[int]] = {part.name: [] for part in parts}

    def measure(fork: Fork, part: Part) -> Tensor:
        own = denoiser.unet.get_submodule(part.node)
        works = (partial(fork.feature, module) for module in (own, part.left))
        whole, without = (_nanoseconds(work, batch.x.device) for work in works)
        saved[part.name].append(whole - without)
        return batch.weight

    for _ in range(1 + rounds):
        at_parts(denoiser, parts, batch, measure)
    return {name: max(round(median(times[1:])), 0) for name, times in saved.items()}


def _nanoseconds(work: Callable[[], Tensor], device: torch.device) -> int:
    """Of one call, from when the device has done all that was asked before until it has done this."""
    _wait_for(device)
    began = time.perf_counter_ns()
    work()
    _wait_for(device)
    return time.perf_counter_ns() - began


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
