"""The one exception that means: what the user gave cannot be used, and the message says why."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Bad input in one sentence: the thing, what was expected, what came. Commands print it and exit with status 2."""
