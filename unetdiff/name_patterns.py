"""Parts of a network by patterns of their names, those of `config.nodes()` and of what is inside a node."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from unetdiff.errors import InputError

__all__ = ["matching"]


def matching(names: Sequence[str], patterns: Iterable[str], field: str) -> list[str]:
    """Those of the dotted names that any of the patterns means, in their order.

    A pattern is one of a shell (`down_blocks.*`). It may match a name, the end of one (`to_q`), or a name that this one
    is inside of (`mid_block`).

    Args:
        names: all that there are.
        patterns: what is chosen of them.
        field: where the patterns come from, for the message.

    Raises:
        InputError: a pattern that means nothing; the message has names that are near to it.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        meant = [name for name in names if _means(pattern, name)]
        if not meant:
            raise InputError(
                f"{field}: expected a pattern of names in the network, got {pattern}{_near(pattern, names)}"
            )
        chosen.update(meant)
    return [name for name in names if name in chosen]


def _means(pattern: str, name: str) -> bool:
    return any(fnmatchcase(part, pattern) or fnmatchcase(part, f"*.{pattern}") for part in _around(name))


def _around(name: str) -> list[str]:
    """A name and those of all that it is inside of, outermost first."""
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _near(pattern: str, names: Sequence[str]) -> str:
    whole = {part for name in names for part in _around(name)}
    ends = {name.rpartition(".")[2] for name in whole}
    near = get_close_matches(pattern, sorted(whole | ends))
    return f"; near to it are {', '.join(near)}" if near else ""
