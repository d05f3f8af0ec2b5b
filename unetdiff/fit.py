"""Whether the tensors of a file are those of a network, said in one sentence."""

from collections.abc import Sequence

from unetdiff.errors import InputError

__all__ = ["require_fit"]

SHOWN = 3


def require_fit(source: str, missing: Sequence[str], unexpected: Sequence[str], misshaped: Sequence[str]) -> None:
    """Refuse weights that do not fit.

    Args:
        source: where the weights come from, for the message.
        missing: names of tensors that the network has and the weights lack.
        unexpected: names of tensors that the network lacks.
        misshaped: tensors of another shape, each with both shapes.

    Raises:
        InputError: anything at all; the message counts each kind and names the first few.
    """
    problems = {"missing": missing, "unexpected": unexpected, "of another shape": misshaped}
    found = [f"{len(names)} {problem} ({_first(names)})" for problem, names in problems.items() if names]
    if found:
        raise InputError(f"{source}: weights that fit the configuration expected, got {', '.join(found)}")


def _first(names: Sequence[str]) -> str:
    return ", ".join([*sorted(names)[:SHOWN], *(["..."] if len(names) > SHOWN else [])])
