"""Training of a classifying network: cross-entropy on minibatches, at a learning rate that falls as a cosine.

    rate(step) = learning_rate (1 + cos(pi step / steps)) / 2

Rows are read minibatch by minibatch, so memory does not grow with their number. What comes out are the weights behind
the epoch in which held-out rows were told best; without such rows, those at the end.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from tqdm import trange

from unetdiff.errors import InputError
from unetdiff.plain import require
from unetdiff.probes.rows import Indices

__all__ = ["Course", "Examples", "Group", "Training", "accuracy_on", "fit_network", "seeded"]


class Examples(Protocol):
    """What a network is trained and judged on, by numbers of rows."""

    def batch(self, rows: Indices, epoch: int | None) -> tuple[object, Tensor]:
        """The network's input for these rows and their labels, one for each of its outputs.

        What is random about the input is drawn anew for every epoch; `epoch` is None where the network is judged.
        """


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained.

    Attributes:
        optimizer: adamw, or sgd without momentum, which the papers take (with rates of 1e-2 to 5e-2).
        learning_rate: At the first step.
        weight_decay: Of all weights.
        batch: Rows of a step; those that an epoch leaves over are left out of it.
        epochs: Passes over the training rows.
        least_steps: More passes where they are fewer steps than this.
        seed: Of weights and order.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    batch: int = 128
    epochs: int = 20
    least_steps: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.optimizer in ("adamw", "sgd"), "optimizer", "adamw or sgd", self.optimizer)
        require(self.learning_rate > 0, "learning_rate", "more than 0", self.learning_rate)
        require(self.weight_decay >= 0, "weight_decay", "at least 0", self.weight_decay)
        require(self.batch >= 2, "batch", "at least 2 rows, which batch norm needs", self.batch)
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require(self.least_steps >= 1, "least_steps", "at least 1", self.least_steps)

    def length(self, rows: int) -> tuple[int, int]:
        """Epochs, and steps of each."""
        steps = max(1, rows // self.batch)
        return max(self.epochs, math.ceil(self.least_steps / steps)), steps


class Group(NamedTuple):
    """Parameters that share a learning rate: `factor` times that of the training."""

    parameters: Sequence[nn.Parameter]
    factor: float


@dataclass(frozen=True, kw_only=True)
class Course:
    """Which epoch's weights a network has, counted from 1, and its accuracy on held-out rows behind that epoch."""

    epoch: int
    validation: float | None


def fit_network(
    network: nn.Module,
    examples: Examples,
    training: Training,
    *,
    kept: Indices,
    held_out: Indices,
    groups: Sequence[Group] = (),
) -> Course:
    """Train a network in place and leave it in evaluation mode; on the CPU it becomes the same one every time.

    Args:
        network: its output is (n, classes).
        examples: where its inputs come from.
        training: how.
        kept: rows to train on.
        held_out: rows to choose the epoch with, maybe none.
        groups: what is trained of it; all of it at one rate when left out.

    Raises:
        InputError: the learning rate is too high: the loss is not finite.
    """
    optimizer = _optimizer(training, groups or [Group(list(network.parameters()), 1.0)])
    epochs, steps = training.length(len(kept))
    schedule = CosineAnnealingLR(optimizer, T_max=epochs * steps)
    best, weights = Course(epoch=epochs, validation=None), {}
    with seeded(training.seed):
        for epoch in trange(1, epochs + 1, desc="training", unit=" epochs", disable=None):
            order = np.random.default_rng([training.seed, epoch]).permutation(kept)
            batches = order[: steps * training.batch].reshape(steps, -1)
            _train_epoch(network, examples, batches, epoch, schedule)
            if len(held_out) == 0:
                continue
            validation = accuracy_on(network, examples, held_out, training.batch)
            if best.validation is None or validation > best.validation:
                best = Course(epoch=epoch, validation=validation)
                weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if weights:
        network.load_state_dict(weights)
    network.eval()
    return best


@torch.no_grad()
def accuracy_on(network: nn.Module, examples: Examples, rows: Indices, batch: int) -> float:
    """Share of outputs that are highest for the label."""
    network.eval()
    hits = []
    for start in range(0, len(rows), batch):
        inputs, labels = examples.batch(rows[start : start + batch], None)
        hits.append(network(inputs).argmax(dim=1) == labels)
    return float(torch.cat(hits).double().mean())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block torch draws from this seed; afterwards it goes on as if nothing had been drawn."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _train_epoch(network: nn.Module, examples: Examples, batches: Indices, epoch: int, schedule: LRScheduler) -> None:
    """One step for each row of `batches`, (steps, batch size)."""
    network.train()
    for rows in batches:
        inputs, labels = examples.batch(np.sort(rows), epoch)
        loss = F.cross_entropy(network(inputs), labels)
        if not torch.isfinite(loss):
            rate = schedule.get_last_lr()[0]
            raise InputError(
                f"learning_rate: one with a finite loss expected, got {loss} in epoch {epoch} at {rate:.3g}"
            )
        schedule.optimizer.zero_grad()
        torch.autograd.backward(loss)
        schedule.optimizer.step()
        schedule.step()


def _optimizer(training: Training, groups: Sequence[Group]) -> Optimizer:
    parameters = [
        {"params": list(group.parameters), "lr": group.factor * training.learning_rate}
        for group in groups
        if group.parameters
    ]
    if training.optimizer == "sgd":
        return SGD(parameters, weight_decay=training.weight_decay)
    return AdamW(parameters, weight_decay=training.weight_decay)
