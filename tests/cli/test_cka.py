"""`unetdiff cka`: what it compares, writes and refuses."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from tests.manifests import manifest
from unetdiff.cli.main import main
from unetdiff.features.cell import Cell
from unetdiff.features.store_writer import StoreWriter

STORED = manifest(split="test", images=30, classes=(), shard_images=16)


@pytest.fixture
def write(tmp_path):
    """Give a function that writes a store of random features, all of them from one X and turned by `seed`."""

    def store(name, seed=0, noise=0.0, **changed):
        described = replace(STORED, **changed)
        rng, X = np.random.default_rng(seed), np.random.default_rng(9).normal(size=(described.images, 3))
        writer = StoreWriter(tmp_path / name / "test", described)
        writer.begin()
        features = {}
        for cell, shape in described.row_shapes.items():
            turned, _ = np.linalg.qr(rng.normal(size=(int(np.prod(shape)), 3)))
            rows = X @ turned.T + noise * cell.sigma * rng.normal(size=(described.images, int(np.prod(shape))))
            features[cell] = rows.reshape(-1, *shape).astype("float32")
        for shard, rows in writer.missing.items():
            writer.write(shard, {cell: value[rows.start : rows.stop] for cell, value in features.items()})
        return str(tmp_path / name)

    return store


def read(path):
    with path.open(newline="") as file:
        return {
            (Cell(row["tap"], float(row["sigma"])), Cell(row["other_tap"], float(row["other_sigma"]))): float(
                row["cka"]
            )
            for row in csv.DictReader(file)
        }


def test_two_models_that_differ_by_a_rotation_are_alike_in_every_cell(write, tmp_path):
    main(["cka", write("a"), write("b", seed=1), "--out", str(tmp_path / "cka.csv"), "--batch-size", "12"])
    table = read(tmp_path / "cka.csv")
    assert set(table) == {(one, other) for one in STORED.cells for other in STORED.cells}
    np.testing.assert_allclose(list(table.values()), 1, rtol=0, atol=1e-5)  # of float32 features


def test_layers_of_one_model(write, tmp_path, capsys):
    main(["cka", write("a", noise=1.0), "--out", str(tmp_path / "cka.csv")])
    table = read(tmp_path / "cka.csv")
    clean, noisy = (Cell("conv_in", sigma) for sigma in STORED.settings.sigmas)
    assert table[clean, clean] == pytest.approx(1)
    assert table[clean, noisy] == table[noisy, clean] < 0.9
    heading, first, *rest = capsys.readouterr().out.splitlines()
    assert heading.split() == ["layer", "most", "like", "CKA"]
    assert first.split()[4:8] == ["mid_block.resnets.0:input", "at", "sigma", "0.1"]
    assert len(rest) == 3


def test_chosen_noise_levels_and_a_picture(write, tmp_path):
    pytest.importorskip("matplotlib")
    out, plot = tmp_path / "cka.csv", tmp_path / "cka.svg"
    main(["cka", write("a"), "--sigmas", "1", "--out", str(out), "--plot", str(plot)])
    assert {one for pair in read(out) for one in pair} == {Cell(tap, 1.0) for tap in STORED.settings.taps}
    assert "<svg" in plot.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sigmas", "0.5"], "sigmas: expected some of 0.1, 1, which "),
        (["--batch-size", "2"], "batch: expected 8 images or more, got 2"),
        (["--split", "train"], "a store of features expected"),
        (["--sigmas", "low"], "sigmas: expected numbers with commas between, got 'low'"),
    ],
)
def test_refusals(write, refused, tmp_path, options, message):
    assert message in refused(["cka", write("a"), "--out", str(tmp_path / "cka.csv"), *options])
    assert not (tmp_path / "cka.csv").exists()


def test_other_images_are_refused(write, refused):
    assert "features of the images of" in refused(["cka", write("a"), write("b", data="others")])
