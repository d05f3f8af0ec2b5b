"""Heatmaps: what stands where."""

import numpy as np
import pytest

from unetdiff.cli.figure import Picture
from unetdiff.cli.heatmap import Heatmap
from unetdiff.features.cell import Cell

pytest.importorskip("matplotlib")

TABLE = {
    Cell("conv_in", 1.0): 0.3,
    Cell("conv_in", 0.1): 0.2,
    Cell("mid_block.resnets.1", 0.1): 0.9,
    Cell("mid_block.resnets.1", 1.0): 0.5,
    Cell("conv_out", 0.1): 0.4,
}


def test_layers_in_their_order_by_rising_noise_levels():
    heatmap = Heatmap.of_cells(TABLE, "accuracy")
    assert heatmap.rows == ["conv_in", "mid_block.resnets.1", "conv_out"]
    assert heatmap.columns == ["0.1", "1"]
    np.testing.assert_array_equal(heatmap.values, [[0.2, 0.3], [0.9, 0.5], [0.4, np.nan]])
    assert heatmap.marked == (1, 0)


@pytest.mark.parametrize("columns", [2, 40])
def test_it_is_drawn_as_large_as_it_needs(tmp_path, columns):
    """Numbers are written where there is room; the frame is around the marked one."""
    figures = []

    class Watched(Picture):
        def __init__(self, path):
            super().__init__(path)
            figures.append(self._figure)

    table = {Cell(tap, float(sigma)): sigma / 100 for tap in ("a", "b", "c") for sigma in range(columns)}
    Heatmap.of_cells(table, "accuracy").write(Watched(tmp_path / "map.svg"))
    (axes, _), (width, height) = figures[0].axes, figures[0].get_size_inches()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert (len(axes.texts), width > 15) == ((6, False) if columns == 2 else (0, True))
    assert height < 3
    (frame,) = axes.patches
    assert frame.get_xy().mean(axis=0)[0] == pytest.approx(columns - 1, abs=0.3)
    assert "<svg" in (tmp_path / "map.svg").read_text()
