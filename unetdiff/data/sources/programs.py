"""Calling other programs to fetch data."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from unetdiff.errors import InputError

__all__ = ["call", "require_programs"]


def require_programs(programs: Sequence[str], data: str, otherwise: str) -> None:
    """InputError that says what to do `otherwise` where a program that fetches `data` is missing."""
    for program in programs:
        if shutil.which(program) is None:
            raise InputError(f"{data}: {program} is needed to fetch it and was not found; {otherwise}")


def call(command: Sequence[str], folder: Path, data: str) -> None:
    """Run in `folder` for the sake of `data`; InputError with the last line of complaint where it fails."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1:] or [f"status {result.returncode}"]
        raise InputError(f"{data}: `{' '.join(command)}` failed: {reason[0]}")
