"""`unetdiff classify`: what it decides, writes, goes on with and refuses."""

import csv
import re

import numpy as np
import pytest
from PIL import Image

from unetdiff.cli.main import main
from unetdiff.evaluation.diffusion_classifier import DiffusionClassifier

FAST = ("--draws", "1,2", "--keep", "2,1")


@pytest.fixture
def images(tmp_path):
    """Give a function that writes a folder of eight pictures with a subfolder for each class."""

    def write(names=("Sneaker", "Ankle boot"), height=8):
        rng = np.random.default_rng(0)
        for name in names:
            (tmp_path / "images" / name).mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 256, (height, 6), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
        return str(tmp_path / "images")

    return write


@pytest.fixture
def classify(model, tmp_path, capsys):
    """Give a function that runs the command; returns the rows of images.csv and what was printed."""

    def run(data, *options):
        out = tmp_path / "out"
        assert main(["classify", str(model), data, "--split", "train", "--out", str(out), *FAST, *options]) == 0
        with (out / "images.csv").open(newline="") as file:
            return list(csv.DictReader(file)), capsys.readouterr().out

    return run


def test_every_image_has_a_row_and_the_accuracy_is_that_of_the_rows(images, classify):
    rows, printed = classify(images())
    assert [row["image"] for row in rows] == list("01234567")
    assert {row["label"] for row in rows} == {"Sneaker", "Ankle boot"}
    right = [row["label"] == row["predicted"] for row in rows]
    assert float(re.search(r"accuracy ([\d.]+)", printed)[1]) == pytest.approx(np.mean(right), abs=1e-4)
    assert "8 of 8 images" in printed
    losses = {float(row[f"loss {name}"]) for row in rows for name in ("T-shirt/top", "Sneaker", "Ankle boot")}
    assert len(losses) == 24


def test_it_goes_on_where_it_was_and_decides_the_same(images, classify, monkeypatch):
    folder, seen = images(), []
    monkeypatch.setattr(DiffusionClassifier, "__call__", _counted(seen))
    some, _ = classify(folder, "--images", "3")
    rows, printed = classify(folder, "--batch-size", "5")
    assert "5 of 8 images" in printed
    assert len(seen) == len(set(seen)) == 8
    assert [row for row in rows if row["image"] in {one["image"] for one in some}] == some


def _counted(seen):
    measure = DiffusionClassifier.__call__

    def call(self, image, seed):
        seen.append(seed)
        return measure(self, image, seed)

    return call


def test_labels_of_other_classes_are_no_labels(images, classify):
    rows, printed = classify(images(("dog", "cat")), "--loss", "edm")
    assert {row["label"] for row in rows} == {""}
    assert "no accuracy" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keep", "1,2"], "keep: expected falling numbers down to 1"),
        (["--draws", "1.5,2"], "draws: expected whole numbers with commas between, got '1.5,2'"),
        (["--levels", "1"], "levels: expected the least and the greatest, such as 0.05,5, got '1'"),
        (["--levels", "2,1"], "levels: expected 0 < least < greatest"),
        (["--loss", "edm", "--levels", "1,2"], "levels: expected none with loss edm, got '1,2'"),
        (["--images", "0"], "images: expected at least 1, got 0"),
    ],
)
def test_refusals(images, model, refused, tmp_path, options, message):
    out = tmp_path / "out"
    arguments = ["classify", str(model), images(), "--split", "train", "--out", str(out), *FAST, *options]
    assert message in refused(arguments)
    assert not out.exists()


def test_other_settings_and_models_without_classes_are_refused(images, classify, classless, model, refused, tmp_path):
    folder, out = images(), str(tmp_path / "out")
    classify(folder, "--images", "1")
    again = ["classify", str(model), folder, "--split", "train", "--out", out, *FAST, "--seed", "1"]
    assert "seed: expected 0, as there already, got 1" in refused(again)
    assert "model: expected one that is told classes, got" in refused(["classify", str(classless), folder])


def test_images_of_another_shape_are_refused(images, model, refused):
    message = refused(["classify", str(model), images(height=9), "--split", "train", *FAST])
    assert "expected images of the model's shape (1, 8, 6), got (1, 9, 6)" in message
