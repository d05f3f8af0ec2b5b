"""Numbers in one word of a command line: "0.1,10"."""

from unetdiff.plain import require

__all__ = ["read_numbers"]


def read_numbers(text: str, field: str, expected: str, count: int | None = None) -> tuple[float, ...]:
    """The numbers between the commas; `expected` says in an error what they are."""
    try:
        numbers = tuple(map(float, text.split(",")))
    except ValueError:
        numbers = ()
    require(bool(numbers) and count in (None, len(numbers)), field, expected, text)
    return numbers
