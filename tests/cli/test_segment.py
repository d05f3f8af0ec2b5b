"""`unetdiff segment`: its numbers, its picture, and what it refuses."""

import json

import numpy as np
import pytest

from tests.manifests import manifest
from unetdiff.cli.main import main
from unetdiff.cli.segment import _coloured
from unetdiff.features.store_writer import StoreWriter
from unetdiff.pictures import read_png

FAST = ["--hidden", "none", "--epochs", "1", "--pixels", "32", "--learning_rate", "0.01"]


@pytest.fixture
def labelled(tmp_path):
    """A store of maps that tell the class of each 2x2 field, in a cell without noise, and masks of pixels."""
    (tmp_path / "masks").mkdir()
    for split, count in (("train", 40), ("test", 12)):
        generator = np.random.default_rng(count)
        coarse = generator.integers(0, 3, size=(count, 1, 4)).repeat(4, axis=1)
        maps = np.stack([coarse == number for number in range(3)], axis=1).astype(np.float32)
        facts = {"split": split, "data": split, "images": count, "shard_images": count, "classes": ()}
        settings = {"taps": ("conv_in",), "sigmas": (0.1, 1.0)}
        described = manifest(settings, shapes=((3, 4, 4),), size=(8, 8), **facts)
        writer = StoreWriter(tmp_path / "store" / split, described)
        writer.begin(None)
        clear, noise = described.cells
        [name] = described.shards
        writer.write(name, {clear: maps, noise: generator.standard_normal(maps.shape).astype(np.float32)})
        np.save(tmp_path / "masks" / f"{split}.npy", coarse.repeat(2, axis=1).repeat(2, axis=2))
    return [str(tmp_path / "store"), str(tmp_path / "masks")]


def test_pixels_that_can_be_told_are_told(labelled, capsys):
    assert main(["segment", *labelled, *FAST, "--cells", "conv_in@0.1", "--names", "sky,sea,sand"]) == 0
    out = capsys.readouterr().out
    [line] = [line for line in out.splitlines() if line.startswith("mean IoU")]
    assert float(line.split()[2].rstrip(",")) == 1
    assert [line.split()[0] for line in out.splitlines()[:4]] == ["class", "sky", "sea", "sand"]


def test_noise_tells_no_more_than_the_most_frequent_class(labelled, capsys):
    assert main(["segment", *labelled, *FAST, "--cells", "conv_in@1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["accuracy"] < facts["floor"] + 0.1
    assert facts["mean_iou"] == pytest.approx(np.mean([facts["iou"][name] for name in "012"]))


def test_the_picture_shows_masks_and_what_is_told(labelled, tmp_path):
    assert main(["segment", *labelled, *FAST, "--plot", str(tmp_path / "told.png")]) == 0
    height, width, channels = read_png(tmp_path / "told.png").shape
    assert channels == 3
    assert height == 2 * 18 + 2
    assert width > 8 * 18


def test_colours_are_those_of_pascal_voc():
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 9: (192, 0, 0), 20: (0, 64, 128)}
    masks = np.array([[[*known, -1]]], dtype=np.int16)
    np.testing.assert_array_equal(_coloured(masks)[0, 0], [*known.values(), (255, 255, 255)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--names", "sky,sea"], "names: expected one for each of the 3 classes of the masks, got 2"),
        (["--hidden", "8,x"], "hidden: expected numbers of at least 1 with commas between, or none, got '8,x'"),
        (["--held_out", "1"], "held_out: expected a number between 0 and 1"),
        (["--pixels", "0"], "pixels: expected at least 1"),
        (["--cells", "conv_inn"], "conv_in"),
    ],
)
def test_refusals(options, message, labelled, refused):
    assert message in refused(["segment", *labelled, *options])


def test_masks_of_one_class(labelled, tmp_path, refused):
    for split, count in (("train", 40), ("test", 12)):
        np.save(tmp_path / "masks" / f"{split}.npy", np.zeros((count, 8, 8), np.int64))
    assert "masks: at least 2 classes expected, to tell apart, got 1" in refused(["segment", *labelled])
