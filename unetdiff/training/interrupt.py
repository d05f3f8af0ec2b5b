"""Ctrl-C and SIGTERM as a request: the loop finishes its step, saves and stops."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

__all__ = ["StopRequest", "ending_workers", "ignore_signals"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While entered, the first signal sets `requested`; a second one does what it did before."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "StopRequest":
        self._before = {number: signal.signal(number, self._request) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def ending_workers() -> Iterator[None]:
    """Kill the data workers that were started inside, where it ends with an exception.

    Python's own end sends them SIGTERM, which they ignore, and waits for them as long as it takes.
    """
    others = set(multiprocessing.active_children())
    try:
        yield
    except BaseException:
        watching = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would raise an error of its own about each
        for worker in set(multiprocessing.active_children()) - others:
            worker.kill()
            worker.join()
        signal.signal(signal.SIGCHLD, watching)
        raise


def ignore_signals(worker: int) -> None:
    """For data workers: terminals and schedulers signal them too, but the last step still needs their batches."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
