"""The report: on the screen, and as a page, a Markdown file and numbers in the folder."""

import json
from pathlib import Path

from unetdiff.atomic import replacing
from unetdiff.cli.compare.comparison import Comparison, number
from unetdiff.cli.compare.curves import draw_curves
from unetdiff.cli.compare.folder import ComparisonFolder
from unetdiff.cli.compare.markdown import markdown
from unetdiff.cli.compare.page import page
from unetdiff.cli.compare.samples_grid import SamplesGrid
from unetdiff.cli.compare.screen import on_screen
from unetdiff.cli.compare.words import Words

__all__ = ["show", "write_report"]


def write_report(comparison: Comparison, folder: ComparisonFolder, shown: int) -> None:
    """With `shown` images of each row on the page."""
    missing = draw_curves(folder.curves, comparison)
    if missing is not None:
        folder.curves.unlink(missing_ok=True)  # those of an earlier comparison
    curves = folder.curves if missing is None else None
    words = Words.of(comparison, [] if missing is None else [missing])
    _write(folder.page, page(words, comparison, SamplesGrid.of(comparison, shown), curves))
    _write(folder.table, markdown(words, comparison, curves))
    _write(folder.report, json.dumps(comparison.facts(), indent=2) + "\n")


def show(comparison: Comparison, folder: ComparisonFolder) -> None:
    """Print the tables, and where the rest is."""
    print(on_screen(comparison.settings(number)))
    print(f"\n{on_screen(comparison.models(number))}")
    for note in comparison.notes:
        print(f"not measured: {note}")
    print(f"\nintervals, curves and samples: {folder.page}")


def _write(path: Path, text: str) -> None:
    with replacing(path) as staged:
        staged.write_text(text, encoding="utf-8")
