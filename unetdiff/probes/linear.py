"""Linear probes of all cells of a sweep, trained in one pass over the data.

z = W standardise(x) + b, cross-entropy, minibatches: the probe of l-DAE (Chen et al. 2024, arXiv 2401.14404) with Adam
and a cosine schedule as in DDAE (Xiang et al. 2023, arXiv 2303.09769). Several learning rates are trained side by side,
as in DINOv2 (Oquab et al. 2024, arXiv 2304.07193), for the price of reading the data once.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from unetdiff.plain import require
from unetdiff.probes.linear_stack import LinearStack
from unetdiff.probes.probe import Fitted, Probe, require_fit
from unetdiff.probes.rows import Indices, Rows, width_of
from unetdiff.probes.task import Task

__all__ = ["Linear"]

READ_BYTES = 2**28  # of features in memory: rows of many steps are read together, since each reading has a price


@dataclass(frozen=True, kw_only=True)
class Linear(Probe):
    """A linear layer on standardised features.

    Attributes:
        rates: Learning rates to choose from.
        epochs: Passes over the training rows.
        least_steps: More passes where these are fewer steps.
        batch: Rows of a step.
        seed: Of the order of the rows.
    """

    rates: tuple[float, ...] = (0.001, 0.01, 0.1)
    epochs: int = 20
    least_steps: int = 500
    batch: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        valid = bool(self.rates) and all(0 < rate < math.inf for rate in self.rates)
        require(valid, "rates", "positive numbers", self.rates)
        for name in ("epochs", "least_steps", "batch"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))

    def for_epochs(self, epochs: int) -> "Linear":
        """With so many passes, or the least steps."""
        return replace(self, epochs=epochs)

    def fit_each(self, features: Sequence[Rows], task: Task) -> list[Fitted]:
        """A head for each cell. Heads do not see each other: each is what it would be alone, up to rounding."""
        require_fit(features, task)
        stacks = [LinearStack(cells, task, self.rates) for cells in _by_width(features)]
        self._train(stacks, task)
        fitted = [head for stack in stacks for head in stack.fitted(task)]
        return sorted(fitted, key=lambda head: head.inputs)

    def _train(self, stacks: Sequence[LinearStack], task: Task) -> None:
        groups = [
            {"params": [parameter for stack in stacks for parameter in stack.layers[number].parameters()], "lr": rate}
            for number, rate in enumerate(self.rates)
        ]
        steps = self._steps(len(task.labels))
        optimizer = torch.optim.Adam(groups)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=len(steps))
        bytes_of_step = 4 * self.batch * sum(stack.values_of_row for stack in stacks)
        batches = _read(stacks, steps, max(1, READ_BYTES // bytes_of_step))
        for rows, features in tqdm(batches, "linear probes", len(steps), unit=" steps", disable=None):
            device = features[0].device
            labels, shares = torch.from_numpy(task.labels[rows]).to(device), _shares(rows, task).to(device)
            losses = [stack.loss(x, labels, shares) for stack, x in zip(stacks, features, strict=True)]
            optimizer.zero_grad()
            torch.autograd.backward(losses)
            optimizer.step()
            schedule.step()

    def _steps(self, count: int) -> list[Indices]:
        """The rows of each step: all in a new order in each pass."""
        generator = np.random.default_rng(self.seed)
        per_pass = math.ceil(count / self.batch)
        passes = max(self.epochs, math.ceil(self.least_steps / per_pass))
        return [rows for _ in range(passes) for rows in np.array_split(generator.permutation(count), per_pass)]


def _by_width(features: Sequence[Rows]) -> list[dict[int, Rows]]:
    """Cells with as many values in a row, by their places."""
    groups: dict[int, dict[int, Rows]] = defaultdict(dict)
    for place, rows in enumerate(features):
        groups[width_of(rows)][place] = rows
    return list(groups.values())


def _read(
    stacks: Sequence[LinearStack], steps: Sequence[Indices], at_once: int
) -> Iterator[tuple[Indices, list[Tensor]]]:
    """The rows of each step and their features, those of `at_once` steps read together."""
    for start in range(0, len(steps), at_once):
        together = steps[start : start + at_once]
        lengths = [len(rows) for rows in together]
        read = [torch.split(stack.read(np.concatenate(together)), lengths, dim=1) for stack in stacks]
        for rows, *features in zip(together, *read, strict=True):
            yield rows, features


def _shares(rows: Indices, task: Task) -> Tensor:
    """(n, copies) weights of the rows of a step in the mean loss of a copy: of all, and of those not held out."""
    kept = ~np.isin(rows, task.held_out)
    members = [np.ones(len(rows)), kept] if len(task.held_out) else [np.ones(len(rows))]
    return torch.from_numpy(np.stack([member / max(1, member.sum()) for member in members], axis=1)).float()
