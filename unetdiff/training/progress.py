"""How far a run is: a bar on a terminal, a line per record elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, Protocol

from tqdm import tqdm

from unetdiff.training.records import TrainRecord, ValidationRecord

__all__ = ["Progress", "progress"]


class Progress(Protocol):
    """What the loop reports to."""

    def step(self) -> None:
        """One optimiser step is done."""

    def record(self, record: TrainRecord) -> None:
        """Averages over the last steps are known."""

    def validated(self, record: ValidationRecord) -> None:
        """The loss of held-out images is known."""


@contextmanager
def progress(step: int, steps: int, *, enabled: bool) -> Iterator[Progress]:
    """Progress of a run of `steps` that stands at `step`, on stderr."""
    bar = enabled and sys.stderr.isatty()
    with tqdm(total=steps, initial=step, unit="step", dynamic_ncols=True, disable=not bar) as display:
        yield _Bar(display) if bar else _Lines(steps) if enabled else _Silence()


class _Bar:
    def __init__(self, display: "tqdm[NoReturn]") -> None:
        self.display = display

    def step(self) -> None:
        self.display.update()

    def record(self, record: TrainRecord) -> None:
        self.display.set_postfix_str(f"loss {record.loss:.4f}, {record.images_per_s:.0f} images/s")

    def validated(self, record: ValidationRecord) -> None:
        self.display.write(_validation(record), file=sys.stderr)


class _Lines:
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def step(self) -> None:
        pass

    def record(self, record: TrainRecord) -> None:
        left = tqdm.format_interval((self.steps - record.step) * record.step_seconds)
        self._write(
            f"step {record.step}/{self.steps}, loss {record.loss:.4f}, lr {record.lr:.2e}, "
            f"{record.images_per_s:.1f} images/s, data {record.data_wait_share:.1%}, {left} left"
        )

    def validated(self, record: ValidationRecord) -> None:
        self._write(_validation(record))

    def _write(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class _Silence:
    def step(self) -> None:
        pass

    def record(self, record: TrainRecord) -> None:
        pass

    def validated(self, record: ValidationRecord) -> None:
        pass


def _validation(record: ValidationRecord) -> str:
    losses = ", ".join(f"{loss:.4f} ({name})" for name, loss in record.loss.items())
    return f"step {record.step}, validation loss {losses}"
