"""Snapshots: the power-function averages of a run at some of its steps, from which other widths can be made.

Each average is a file of its own, `step-0001000-width-0.05.safetensors`; its header tells step, width and dtype.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from unetdiff.atomic import replacing
from unetdiff.errors import InputError

__all__ = ["Snapshot", "add_snapshots", "find_snapshots", "rewind"]

SUFFIX = ".safetensors"


@dataclass(frozen=True, kw_only=True, order=True)
class Snapshot:
    """The average of width `width` (sigma_rel) after `step` optimiser steps, stored as `dtype` in `path`."""

    step: int
    width: float
    dtype: str
    path: Path


def find_snapshots(folder: Path) -> list[Snapshot]:
    """The snapshots in `folder`, oldest first, narrowest first.

    Raises:
        InputError: a file there is damaged or no snapshot.
    """
    return sorted(_read_header(path) for path in folder.glob(f"step-*{SUFFIX}"))


def add_snapshots(folder: Path, averages: Mapping[float, nn.Module], step: int, dtype: torch.dtype) -> None:
    """Store the weights of each average, by its width, as `dtype`.

    Raises:
        OSError, SafetensorError: the disk is full or refuses; whatever is there is whole.
    """
    for width, average in averages.items():
        tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in average.state_dict().items()}
        facts = {"step": str(step), "width": repr(width), "dtype": str(dtype).removeprefix("torch.")}
        with replacing(folder / f"step-{step:07d}-width-{width:g}{SUFFIX}") as staged:
            save_file(tensors, staged, metadata=facts)


def rewind(folder: Path, step: int) -> None:
    """Make `folder` what it was after `step` steps: remove later snapshots and what a killed writer left unfinished."""
    for leftover in folder.glob(".tmp-*"):
        leftover.unlink()
    for path in folder.glob(f"step-*{SUFFIX}"):
        named = re.match(r"step-(\d+)-", path.name)
        if named is not None and int(named[1]) > step:
            path.unlink()


def _read_header(path: Path) -> Snapshot:
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
        return Snapshot(step=int(facts["step"]), width=float(facts["width"]), dtype=facts["dtype"], path=path)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path}: expected a whole snapshot of averaged weights, got: {error!r}") from error
