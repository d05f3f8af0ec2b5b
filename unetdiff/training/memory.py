"""The most memory that this process has used since it started, in MiB."""

import resource
import sys

import torch

__all__ = ["peak_device_memory", "peak_memory"]

MIB = 2**20
RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of ru_maxrss (getrusage(2))."""


def peak_memory() -> float:
    """Of the process itself: its resident set."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / MIB


def peak_device_memory() -> float | None:
    """Of tensors on the current GPU; None where there is none."""
    return torch.cuda.max_memory_allocated() / MIB if torch.cuda.is_available() else None
