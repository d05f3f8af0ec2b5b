"""What training costs and gains, averaged over the steps between two records."""

import math
import time
from collections.abc import Iterator
from typing import Generic, TypeVar

from unetdiff.training.memory import peak_device_memory, peak_memory
from unetdiff.training.records import TrainRecord
from unetdiff.training.step import Update

__all__ = ["Meter", "TimedIterator"]

T = TypeVar("T")


class Meter:
    """Sums over steps; `record` gives their means and starts again."""

    def __init__(self, batch_size: int, seconds: float) -> None:
        self.batch_size = batch_size
        self.seconds = seconds
        self._clear()

    def add(self, update: Update, seconds: float, waited: float) -> None:
        """Count one step that took `seconds`, `waited` of them for data."""
        self.seconds += seconds
        self._steps += 1
        self._loss += update.loss
        self._grad_norm += update.grad_norm
        for name, term in update.terms.items():
            self._terms[name] = self._terms.get(name, 0.0) + term
        self._time += seconds
        self._waited += waited

    def record(self, step: int, lr: float) -> TrainRecord:
        """Means since the last record."""
        record = TrainRecord(
            step=step,
            loss=self._loss / self._steps,
            lr=lr,
            grad_norm=self._grad_norm / self._steps if math.isfinite(self._grad_norm) else None,
            images_per_s=self._steps * self.batch_size / self._time,
            step_seconds=self._time / self._steps,
            data_wait_share=self._waited / self._time,
            seconds=self.seconds,
            peak_memory_mib=peak_memory(),
            peak_device_memory_mib=peak_device_memory(),
            terms={name: total / self._steps for name, total in self._terms.items()},
        )
        self._clear()
        return record

    def _clear(self) -> None:
        self._steps = 0
        self._loss = self._grad_norm = self._time = self._waited = 0.0
        self._terms: dict[str, float] = {}


class TimedIterator(Generic[T]):
    """The same items, and how long they were waited for."""

    def __init__(self, items: Iterator[T]) -> None:
        self.items = items
        self._waited = 0.0

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        began = time.perf_counter()
        item = next(self.items)
        self._waited += time.perf_counter() - began
        return item

    def take_waited(self) -> float:
        """Seconds waited since the last call."""
        waited, self._waited = self._waited, 0.0
        return waited
