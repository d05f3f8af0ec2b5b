"""A picture of curves or tables: panels side by side, without a window and without matplotlib's global state."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from unetdiff.atomic import replacing
from unetdiff.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Picture"]

PANEL = (4.8, 4.0)  # inches


class Picture:
    """A file to draw to; made before the work, so that what is missing is known before it.

    Raises:
        InputError: matplotlib is not installed, or it does not write files of this kind.
    """

    def __init__(self, path: Path) -> None:
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise InputError("plot: expected matplotlib, got none; pip install 'unetdiff[plots]'") from error
        self.path = path
        self._figure = Figure(layout="constrained")
        kinds = self._figure.canvas.get_supported_filetypes()
        if path.suffix[1:] not in kinds:
            raise InputError(f"plot: expected a file ending in one of {', '.join(kinds)}, got {path}")

    @contextmanager
    def panels(self, count: int, size: tuple[float, float] = PANEL) -> Iterator[list["Axes"]]:
        """Yield the panels to draw in, each of this width and height in inches; at the end, write the file whole."""
        width, height = size
        self._figure.set_size_inches(width * count, height)
        yield list(self._figure.subplots(1, count, squeeze=False)[0])
        with replacing(self.path) as staged:
            self._figure.savefig(staged)
