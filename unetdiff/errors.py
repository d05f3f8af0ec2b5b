"""The one exception that means: what the user gave cannot be used, and the message says why."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["InputError", "user_input"]


class InputError(ValueError):
    """Bad input in one sentence: the thing, what was expected, what came. Commands print it and exit with status 2."""


@contextmanager
def user_input() -> Iterator[None]:
    """Where values of the user are taken: a ValueError is an InputError that says the same."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error
