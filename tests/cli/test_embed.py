"""`unetdiff embed`: which features it draws."""

import numpy as np
import pytest

from tests.manifests import manifest
from unetdiff.cli.embed import draw_classes
from unetdiff.cli.main import main
from unetdiff.features.store_writer import StoreWriter

Figure = pytest.importorskip("matplotlib.figure").Figure
pytest.importorskip("sklearn")


@pytest.fixture
def store(tmp_path):
    described = manifest(split="test", images=30, classes=("dog", "cat"))
    writer = StoreWriter(tmp_path / "store" / "test", described)
    writer.begin(np.arange(30) % 2)
    rng = np.random.default_rng(0)
    for shard, rows in writer.missing.items():
        shapes = described.row_shapes.items()
        writer.write(shard, {cell: rng.normal(size=(len(rows), *shape)).astype("float32") for cell, shape in shapes})
    return str(tmp_path / "store")


def test_a_picture_of_one_place_and_noise_level(store, tmp_path, capsys):
    plot = tmp_path / "points.svg"
    main(["embed", store, "--node", "conv_in", "--sigma", "1", "--images", "12", "--plot", str(plot)])
    assert "<svg" in plot.read_text()
    assert capsys.readouterr().out.strip() == str(plot)


@pytest.mark.parametrize("classes", [("dog", "cat", "eel"), ()])
def test_points_are_coloured_by_class(classes):
    axes = Figure().subplots()
    points, labels = np.random.default_rng(0).normal(size=(6, 2)), np.array([0, 0, 2, 1, 2, 0])
    draw_classes(axes, points, labels if classes else np.zeros(6, int), classes)
    drawn = [collection.get_offsets() for collection in axes.collections]
    expected = [points[labels == number] for number in range(3)] if classes else [points]
    assert all(np.array_equal(got, wanted) for got, wanted in zip(drawn, expected, strict=True))
    assert len({tuple(collection.get_facecolor()[0]) for collection in axes.collections}) == len(expected)
    legend = axes.get_legend()
    assert ([text.get_text() for text in legend.get_texts()] if classes else legend) == (list(classes) or None)


def test_a_cell_that_is_not_there_or_not_chosen(store, refused, tmp_path):
    plot = str(tmp_path / "points.png")
    message = "node, sigma: expected one of the stored conv_in, mid_block.resnets.0:input at 0.1, 1, got "
    assert message + "conv_in, None" in refused(["embed", store, "--node", "conv_in", "--plot", plot])
    assert message + "None, 3.0" in refused(["embed", store, "--sigma", "3", "--plot", plot])
    assert not (tmp_path / "points.png").exists()
