"""Ctrl-C and SIGTERM as a request: the loop finishes its step, saves and stops."""

import signal
from types import FrameType, TracebackType

__all__ = ["StopRequest", "ignore_signals"]

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


def ignore_signals(worker: int) -> None:
    """For data workers: terminals and schedulers signal them too, but the last step still needs their batches."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
