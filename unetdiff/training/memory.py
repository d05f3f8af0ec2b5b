"""The most memory that this process has used since it started, in MiB."""

import re
import resource
import sys
from pathlib import Path

import torch

__all__ = ["peak_device_memory", "peak_memory"]

MIB = 2**20
RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of ru_maxrss (getrusage(2))."""
STATUS = Path("/proc/self/status")


def peak_memory() -> float:
    """Of the process itself: its resident set.

    Linux counts what started a process in its ru_maxrss, too (execve(2) keeps the largest); VmHWM is its own (proc(5)).
    """
    known = STATUS.read_text(errors="replace") if STATUS.exists() else ""
    own = re.search(r"^VmHWM:\s*(\d+) kB$", known, re.MULTILINE)
    if own is not None:
        return int(own[1]) * 1024 / MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / MIB


def peak_device_memory() -> float | None:
    """Of tensors on the current GPU; None where there is none."""
    return torch.cuda.max_memory_allocated() / MIB if torch.cuda.is_available() else None
