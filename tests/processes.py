"""Commands in processes of their own, forked from one that has imported what they need: Python itself takes seconds."""

import multiprocessing
import os
from multiprocessing import connection
from pathlib import Path

import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env

from unetdiff.cli.verify_resume.attempt import kept_port

FORKS = multiprocessing.get_context("forkserver")
IMPORTED = ["tests.processes", "unetdiff.cli.train", "unetdiff.cli.features"]

LONGEST = 240  # seconds that a test waits for a process

ROOT = Path(__file__).parents[1]


class Forked:
    """`call(arguments)` in an environment, in a session of its own; a part of what `subprocess.Popen` offers."""

    def __init__(self, call, arguments, environment, log):
        FORKS.set_forkserver_preload(IMPORTED)
        settings = (call, list(arguments), dict(environment), str(log))
        self._process = FORKS.Process(target=_become, args=settings)
        self._process.start()
        self.pid, self.sentinel = self._process.pid, self._process.sentinel

    def poll(self):
        return self._process.exitcode

    def wait(self):
        self._process.join(LONGEST)
        return self._process.exitcode

    def kill(self):
        self._process.kill()


def _become(call, arguments, environment, log):
    os.setsid()
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)  # for readers of images
    os.environ.clear()
    os.environ.update(environment)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(out, stream)
    torch.set_num_threads(1)
    call(arguments)


def share(call, arguments, log, environment=None, processes=2):
    """Run `call(arguments)` on processes that know of each other, as torchrun starts them; give what they said."""
    log.touch()
    started = []
    with kept_port() as port:
        world = {
            "WORLD_SIZE": processes,
            "LOCAL_WORLD_SIZE": processes,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port.getsockname()[1],
        }
        try:
            for rank in range(processes):
                own = {name: str(value) for name, value in (world | {"RANK": rank, "LOCAL_RANK": rank}).items()}
                started.append(Forked(call, arguments, {**os.environ, **(environment or {}), **own}, log))
            _wait_for(started, log)
        finally:
            for process in started:
                process.kill()
    said = log.read_text(encoding="utf-8")
    assert [process.wait() for process in started] == [0] * processes, said
    return said


def _wait_for(started, log):
    """Until all have ended, or one has failed: the others would wait for it."""
    running = started
    while running and not any(process.poll() for process in started):
        ended = connection.wait([process.sentinel for process in running], timeout=LONGEST)
        assert ended, f"a process hangs; they said: {log.read_text(encoding='utf-8')}"
        running = [process for process in running if process.poll() is None]


def fsdp_environment():
    """What `accelerate launch --config_file configs/fsdp.yaml` tells its processes."""
    options = ["--config_file", str(ROOT / "configs" / "fsdp.yaml"), "program"]
    args, *_ = _validate_launch_command(launch_command_parser().parse_args(options))
    before, after = dict(os.environ), prepare_multi_gpu_env(args)
    return {name: value for name, value in after.items() if before.get(name) != value}
