"""Tables for a terminal: without intervals, the headings stacked, so that many columns fit."""

from textwrap import wrap

from unetdiff.cli.compare.comparison import Sheet
from unetdiff.tables import table

__all__ = ["on_screen"]

WIDTH = 10


def on_screen(sheet: Sheet) -> str:
    """Headings end right above their column."""
    stacks = [wrap(heading, WIDTH) for heading in sheet.heading]
    height = max(map(len, stacks))
    padded = [[""] * (height - len(stack)) + stack for stack in stacks]
    return table([*zip(*padded, strict=True), *sheet.rows], left_aligned=range(sheet.labels))
