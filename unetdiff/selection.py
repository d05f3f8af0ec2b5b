"""Which classes, seeds and prompts: "0-9", "3,5,8-11", "Sneaker" to numbers, a file to its lines."""

import difflib
import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from unetdiff.errors import InputError
from unetdiff.sample_identity import Towards

__all__ = ["read_vector", "select_classes", "select_numbers", "select_prompts", "select_vectors", "way_through"]


def select_numbers(text: str, limit: int, what: str) -> tuple[int, ...]:
    """Numbers below `limit` from a list of numbers and ranges, both ends included, each number once."""
    return _unique([number for part in text.split(",") for number in _numbers(part.strip(), limit, what)])


def select_classes(text: str | None, names: Sequence[str]) -> tuple[int, ...]:
    """Class indices from numbers, ranges and names (in any case); all classes if `text` is None."""
    if text is None:
        return tuple(range(len(names)))
    chosen: list[int] = []
    for part in (part.strip() for part in text.split(",")):
        if re.fullmatch(r"[\d\s-]*", part):
            chosen += _numbers(part, len(names), "classes")
        else:
            chosen.append(_named(part, names))
    return _unique(chosen)


def select_prompts(prompt: str | None, prompts: str | None) -> tuple[str, ...]:
    """The prompt, then the lines of the file `prompts` that are not empty, or what it says where it is no file."""
    lines = [] if prompts is None else _lines(prompts)
    if prompts is not None and not any(lines):
        raise InputError(f"prompts: a text in each line of {prompts} expected, got none")
    return ((prompt,) if prompt is not None else ()) + tuple(line for line in lines if line)


def select_vectors(file: Path, width: int) -> tuple[str, ...]:
    """The rows of an .npy file (M, width) as texts of their float32 values, which `read_vector` reads.

    Raises:
        InputError: another file, another width, or values that are not finite.
    """
    try:
        rows = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"vectors: an .npy file expected, got {file}: {error}") from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != width or len(rows) == 0:
        raise InputError(f"vectors: rows of {width} numbers expected, got {getattr(rows, 'shape', 'an archive')}")
    if rows.dtype.kind not in "iuf" or not np.isfinite(rows).all():
        raise InputError(f"vectors: finite numbers expected, got others in {file}")
    return tuple(",".join(format(value, ".9g") for value in row) for row in rows.astype(np.float32).tolist())


def read_vector(values: str) -> list[float]:
    """The numbers of a vector's text."""
    return [float(value) for value in values.split(",")]


def way_through(seeds: Sequence[int], steps: int) -> list[tuple[int, Towards | None]]:
    """Every seed, and between it and the next the places that divide the way into `steps`."""
    places: list[tuple[int, Towards | None]] = []
    for seed, following in pairwise(seeds):
        between = [Towards(seed=following, step=step, of=steps) for step in range(1, steps)]
        places += [(seed, None), *((seed, towards) for towards in between)]
    return [*places, (seeds[-1], None)]


def _lines(prompts: str) -> list[str]:
    if not (prompts.endswith(".txt") or os.path.isfile(prompts)):  # where pathlib raises at a long text
        return [prompts.strip()]
    file = Path(prompts)
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise InputError(f"prompts: a file with a text in each line expected, got {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"prompts: text in UTF-8 expected, {file} holds something else") from error


def _numbers(part: str, limit: int, what: str) -> range:
    match = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", part)
    if match is None:
        raise InputError(f"{what}: a number or a range such as 0-9 expected, got {part!r}")
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last < limit:
        raise InputError(f"{what}: numbers from 0 to {limit - 1} in increasing order expected, got {part!r}")
    return range(first, last + 1)


def _named(part: str, names: Sequence[str]) -> int:
    folded = [name.casefold() for name in names]
    if part.casefold() in folded:
        return folded.index(part.casefold())
    nearest = difflib.get_close_matches(part.casefold(), folded, n=1, cutoff=0.5)
    hint = f"did you mean {names[folded.index(nearest[0])]!r}?" if nearest else f"known are {', '.join(names)}"
    raise InputError(f"classes: the name of a class expected, got {part!r}; {hint}")


def _unique(numbers: list[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(numbers))
