"""One start of a training run in processes of its own, which can be killed as a power cut would."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from unetdiff.errors import InputError
from unetdiff.training.metrics import whole_lines
from unetdiff.training.run_folder import RunFolder

__all__ = ["Attempt", "kept_port"]


class Attempt:
    """`train --config` on `processes` processes, writing into `folder`, its words into `log`; ends with a kill."""

    def __init__(self, config: Path, folder: RunFolder, processes: int, log: Path) -> None:
        self.config, self.folder, self.processes, self.log = config, folder, processes, log

    def __enter__(self) -> "Attempt":
        self._older_metrics = _inode(self.folder.metrics)
        self._port = kept_port()
        with self.log.open("ab") as log:
            self._ranks = [self._start(rank, self._port.getsockname()[1], log) for rank in range(self.processes)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._port.close()

    @property
    def pid(self) -> int:
        """The process that writes."""
        return self._ranks[0].pid

    @property
    def step(self) -> int | None:
        """The last optimiser step that is made, None while the processes start."""
        if _inode(self.folder.metrics) == self._older_metrics:
            return None
        lines = whole_lines(self.folder.metrics)
        return int(json.loads(lines[-1])["step"]) if lines else 0

    def finished(self) -> bool:
        """Whether all steps are made.

        Raises:
            InputError: a process gave up.
        """
        statuses = [rank.poll() for rank in self._ranks]
        failed = [status for status in statuses if status]
        if failed:
            raise InputError(f"{self.config}: expected a training that runs, got status {failed[0]}; see {self.log}")
        return None not in statuses

    def kill(self) -> None:
        """SIGKILL for every process and its data workers."""
        for rank in self._ranks:
            if rank.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(rank.pid, signal.SIGKILL)
        for rank in self._ranks:
            rank.wait()

    def _start(self, rank: int, port: int, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "unetdiff", "train", "--config", str(self.config)]
        command += ["--out", str(self.folder.root)]
        environment = dict(os.environ)
        if self.processes > 1:
            world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": self.processes, "LOCAL_WORLD_SIZE": self.processes}
            environment |= {name: str(value) for name, value in world.items()}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)


def _inode(path: Path) -> int | None:
    """Changes when the file is replaced, which is the first thing that a training does with its metrics."""
    return path.stat().st_ino if path.exists() else None


def kept_port() -> socket.socket:
    """Of a port that nobody else gets; the first process may listen on it, since this socket does not."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept
