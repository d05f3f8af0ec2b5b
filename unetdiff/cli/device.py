"""Where a command computes: the `--device` of several commands, and the processes that share their work."""

from typing import Literal

import torch
from accelerate import PartialState

from unetdiff.errors import InputError
from unetdiff.waiting import LONGEST_WAIT

__all__ = ["DeviceName", "device_called", "processes", "require_present"]

DeviceName = Literal["auto", "cpu", "cuda"]
"""auto is the GPU if there is one, in every process its own."""


def processes(name: DeviceName) -> PartialState:
    """The processes that were started for a command on that device; accelerate has to be told where there is no GPU."""
    return PartialState(cpu=name == "cpu" or not torch.accelerator.is_available(), timeout=LONGEST_WAIT)


def device_called(name: DeviceName, state: PartialState) -> torch.device:
    """This process's device of that name.

    Raises:
        InputError: no GPU is there.
    """
    require_present(name)
    return torch.device("cpu") if name == "cpu" else state.device


def require_present(name: str) -> None:
    """Raise InputError where a GPU is asked for and none is there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: a CUDA device expected, torch finds none")
