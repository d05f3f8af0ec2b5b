"""The report as one HTML file that needs nothing else: pictures are in it, and there are no scripts."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from unetdiff.cli.compare.comparison import Comparison, Sheet, with_interval
from unetdiff.cli.compare.samples_grid import SamplesGrid
from unetdiff.cli.compare.words import Words

__all__ = ["page"]

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; background: Canvas; color: CanvasText; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
th, td { padding: .3rem .7rem; text-align: right; vertical-align: top; }
th { vertical-align: bottom; font-weight: 600; }
th.label, td.label { text-align: left; }
tbody tr { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
.samples th { max-width: 10rem; text-align: left; overflow-wrap: anywhere; }
.samples td { padding: .15rem .3rem; text-align: left; }
.samples img { image-rendering: pixelated; min-width: 72px; display: block; }
.curves { max-width: 100%; background: white; }
"""


def page(words: Words, comparison: Comparison, grid: SamplesGrid, curves: Path | None) -> str:
    """All of it; `curves` is an SVG file."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in words.notes)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(words.title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(words.title)}</h1><p>{escape(words.images)}</p>",
        f"{_table(comparison.settings(with_interval))}<p>{escape(words.legend)}</p>",
        "" if curves is None else f"<h2>Distance over network calls</h2>{_curves(curves)}",
        f"<h2>The models</h2>{_table(comparison.models(with_interval))}",
        f"<h2>Samples of the same seeds</h2>{_samples(comparison, grid)}",
        f"<h2>Notes</h2><ul>{notes}</ul>" if notes else "",
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _table(sheet: Sheet) -> str:
    heading = _line("th", sheet.heading, sheet.labels)
    rows = "\n".join(_line("td", row, sheet.labels) for row in sheet.rows)
    return f'<div class="wide"><table><thead>{heading}</thead><tbody>\n{rows}\n</tbody></table></div>'


def _line(tag: str, cells: Sequence[str], labels: int) -> str:
    classes = [' class="label"' if number < labels else "" for number in range(len(cells))]
    inner = (f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(classes, cells, strict=True))
    return f"<tr>{''.join(inner)}</tr>"


def _samples(comparison: Comparison, grid: SamplesGrid) -> str:
    titles = [row.row.title for row in comparison.rows]
    heading = _line("th", ["", *titles], 0)
    rows = []
    for number, line in enumerate(grid.lines):
        pictures = (
            f"<td>{_picture(column[number], 'image/png', f'{line}: {title}')}</td>"
            for title, column in zip(titles, grid.columns, strict=True)
        )
        rows.append(f"<tr><td>{escape(line)}</td>{''.join(pictures)}</tr>")
    body = "\n".join(rows)
    return f'<div class="wide"><table class="samples"><thead>{heading}</thead><tbody>\n{body}\n</tbody></table></div>'


def _curves(file: Path) -> str:
    return _picture(file.read_bytes(), "image/svg+xml", "Distances over network calls", ' class="curves"')


def _picture(data: bytes, kind: str, text: str, attributes: str = "") -> str:
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img{attributes} src="data:{kind};base64,{encoded}" alt="{escape(text)}">'
