"""One optimiser step: the gradient of the mean loss over the global batch, part by part, then the update."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from unetdiff.data import Batch
from unetdiff.distillation import Teacher
from unetdiff.errors import InputError
from unetdiff.training.checkpoint import TrainingState
from unetdiff.training.config import TrainConfig
from unetdiff.training.loss import training_loss
from unetdiff.training.optimizer import learning_rate
from unetdiff.training.sharding import is_sharded, shard, whole

__all__ = ["NonFiniteError", "OptimizerStep", "Update"]

SMALLEST_GRADIENT_SCALE = 2.0**-10


@dataclass(frozen=True, kw_only=True)
class Update:
    """What one step was: mean loss of the global batch, norm of its gradient before clipping, learning rate.

    `terms` are what the loss is the sum of, by name, where it is a sum.
    """

    loss: float
    grad_norm: float
    lr: float
    terms: Mapping[str, float] = field(default_factory=dict)


class NonFiniteError(InputError):
    """The loss or the gradient of step `step` (from 0) is not finite; nothing was updated."""

    def __init__(self, step: int, update: Update) -> None:
        super().__init__(
            f"step {step}: expected a finite loss and gradient, got loss {update.loss:g} and gradient norm "
            f"{update.grad_norm:g} at learning rate {update.lr:g}; the step was not made"
        )
        self.step = step


class OptimizerStep:
    """Calling it makes the next step of `state`, as this process's share of the global batch."""

    def __init__(
        self, config: TrainConfig, accelerator: Accelerator, state: TrainingState, teacher: Teacher | None = None
    ) -> None:
        self.config, self.accelerator, self.state = config, accelerator, state
        loss = training_loss(config, state.unet, state.ema.model, state.log_variance, teacher)
        self.training_loss, self.optimizer = accelerator.prepare(loss, state.optimizer)
        self._own_loss = loss
        if is_sharded(state.unet):
            shard(state)

    def __call__(self, batches: Iterator[Batch]) -> Update:
        """Take one batch per part of the accumulation.

        Raises:
            NonFiniteError: the loss or the gradient is not finite, on every process; nothing was updated.
        """
        config, state = self.config, self.state
        loss, *terms = self._accumulate(batches).tolist()
        clip_norm = math.inf if config.optimizer.clip_norm is None else config.optimizer.clip_norm
        grad_norm = self.accelerator.clip_grad_norm_(self.training_loss.parameters(), clip_norm)
        lr = learning_rate(config.optimizer, state.step, config.steps)
        named = dict(zip(self._own_loss.terms, terms, strict=True))
        update = Update(loss=loss, grad_norm=whole(grad_norm).item(), lr=lr, terms=named)
        self._require_finite(update)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad()
        state.ema.update(state.unet, state.step)
        state.step += 1
        return update

    def rehearse(self, batches: Iterable[Batch]) -> None:
        """Add the gradients of `batches` without the other processes: one that fails leaves nobody waiting."""
        for batch in batches:
            self.accelerator.backward(self._loss(self._own_loss, batch.to(self.accelerator.device)))

    def backward(self, batch: Batch, part: int) -> Tensor:
        """Add the gradient of part `part` of the global batch's mean loss; give that part of the loss and its terms."""
        torch.manual_seed(self.dropout_seed(part, self.accelerator.process_index))
        batch = batch.to(self.accelerator.device, non_blocking=True)
        loss = self._loss(self.training_loss, batch) / self.config.accumulation
        self.accelerator.backward(loss)
        terms = [term / self.config.accumulation for term in self._own_loss.terms.values()]
        return torch.stack([loss.detach(), *terms])

    def drop(self) -> None:
        """Count the next step as done without an update, after its numbers broke; fp16's scale falls."""
        self.optimizer.zero_grad()
        if self.state.scaler is not None:
            self.state.scaler.update()  # it has seen the gradient, and takes the next one only after this
        self.state.step += 1

    def unwrap(self) -> None:
        """Let go of what exchanges gradients with the other processes; steps after this are this process's own."""
        self.training_loss = self._own_loss
        self.accelerator.free_memory()

    def dropout_seed(self, part: int, process: int) -> int:
        """Seed of the next step's dropout: no generator's state has to be saved."""
        key = (self.config.seed, self.state.step, part, process)
        return int(np.random.SeedSequence(key).generate_state(1)[0])

    def _accumulate(self, batches: Iterator[Batch]) -> Tensor:
        """Leave the gradient of the mean loss in the parameters; processes exchange it with the last part.

        Returns:
            The loss and its terms, (1 + terms,).
        """
        parts = self.config.accumulation
        losses = []
        for part in range(parts):
            with nullcontext() if part == parts - 1 else self.accelerator.no_sync(self.training_loss):
                losses.append(self.backward(next(batches), part))
        mean: Tensor = self.accelerator.reduce(torch.stack(losses).sum(dim=0), "mean")
        return mean

    def _loss(self, training_loss: nn.Module, batch: Batch) -> Tensor:
        sigma = self._own_loss.sigma(batch.uniform)
        losses: Tensor = training_loss(batch.images, batch.noise, sigma, **batch.condition)
        return losses.mean()

    def _require_finite(self, update: Update) -> None:
        finite = math.isfinite(update.loss) and math.isfinite(update.grad_norm)
        if not (finite or self._rescaling(update)):
            raise NonFiniteError(self.state.step, update)

    def _rescaling(self, update: Update) -> bool:
        """Whether this is the overflow that fp16 expects: the scaler then skips the update and lowers its scale."""
        scaler = self.state.scaler
        return scaler is not None and math.isfinite(update.loss) and scaler.get_scale() >= SMALLEST_GRADIENT_SCALE
