"""The report as Markdown: the tables, and the curves as a file beside it."""

from html import escape
from pathlib import Path

from unetdiff.cli.compare.comparison import Comparison, Sheet, with_interval
from unetdiff.cli.compare.words import Words

__all__ = ["markdown"]


def markdown(words: Words, comparison: Comparison, curves: Path | None) -> str:
    """All of it."""
    parts = [
        f"# {_plain(words.title)}",
        _plain(words.images),
        _table(comparison.settings(with_interval)),
        _plain(words.legend),
        "" if curves is None else f"![Distances over network calls]({curves.name})",
        _table(comparison.models(with_interval)),
        "\n".join(f"- {_plain(note)}" for note in words.notes),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(sheet: Sheet) -> str:
    ruler = ["---" if number < sheet.labels else "---:" for number in range(len(sheet.heading))]
    lines = [map(_plain, sheet.heading), ruler, *(map(_plain, row) for row in sheet.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Without what Markdown or HTML would make something else of."""
    marked = escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{sign}" if sign in "|*_`[]\\" else sign for sign in marked)
