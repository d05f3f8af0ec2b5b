"""Data on the command line: what is told, what is skipped, what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from unetdiff import load_model
from unetdiff.cli.main import main

SMALL_RUN = """
steps: 1
batch_size: 4
num_workers: 0
model:
  sample_size: [8, 8]
  num_classes: 2
  levels: [{channels: 8, depth: 1}]
  mid: null
preview: {every: 0}
"""


@pytest.fixture
def folder(tmp_path):
    """200 coloured 8x8 pictures in two classes."""
    generator = np.random.default_rng(0)
    for index in range(200):
        path = tmp_path / "images" / ("dark" if index % 2 else "light") / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 100 if index % 2 else 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


def truncate(folder, count):
    for path in sorted(folder.rglob("*.png"))[:count]:
        path.write_bytes(path.read_bytes()[:40])


def test_one_corrupt_image_in_a_hundred_is_named_and_left_out(folder, capsys, caplog):
    truncate(folder, 2)
    main(["data", "pack", str(folder)])
    out = capsys.readouterr().out
    assert "198 images, 3 x 8 x 8" in out
    assert "2 unreadable images left out" in out
    assert [str(folder / "dark" / name) in caplog.text for name in ("001.png", "003.png", "005.png")] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("command", [["data", "pack"], ["train", "--model.levels", "[{channels: 8}]", "--data.source"]])
def test_more_corrupt_images_are_refused(folder, tmp_path, refused, command):
    truncate(folder, 3)
    extra = ["--out", str(tmp_path / "run")] if command[0] == "train" else []
    message = refused([*command, str(folder), *extra])
    assert "unreadable images: expected at most 1% of 200, got 3" in message
    assert str(folder / "dark" / "001.png") in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [["data", "pack"], ["train", "--model.levels", "[{channels: 8}]", "--data.source"]])
def test_a_folder_without_images_is_refused(tmp_path, refused, command):
    (tmp_path / "empty").mkdir()
    extra = ["--out", str(tmp_path / "run")] if command[0] == "train" else []
    message = refused([*command, str(tmp_path / "empty"), *extra])
    assert f"{tmp_path}/empty: expected image files" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, -1], "labels: expected labels from 0, got -1 at row 2"),
        ([0, 1], "labels: expected one label for each of 3 images"),
    ],
)
def test_bad_labels_are_refused(tmp_path, refused, labels, message):
    np.savez(tmp_path / "data.npz", images=np.zeros((3, 8, 8), np.uint8), labels=np.array(labels))
    assert message in refused(["data", "pack", str(tmp_path / "data.npz")])


def test_pack_says_what_is_known_of_the_images(tmp_path, capsys):
    np.savez(
        tmp_path / "data.npz",
        images=np.zeros((3, 8, 8, 4), np.uint16),
        captions=["a", "the longest", "a"],
        vectors=[[0, -1.5], [1, 2], [0, 0]],
        kinds=["dark", "light", "dark"],
    )
    main(["data", "pack", str(tmp_path / "data.npz"), "--columns.label", "kinds"])
    out = capsys.readouterr().out
    assert "3 images, 4 x 8 x 8 of 16 bits, packed" in out
    assert "captions: 2 distinct, the longest of 11 characters: the longest" in out
    assert "vectors: 2 numbers, from -1.5 to 2" in out
    assert "       2 dark\n       1 light" in out


def test_unknown_options_are_refused(folder, refused):
    assert "--sise" in refused(["data", "pack", str(folder), "--sise", "8"])


def test_training_from_a_folder_of_images(folder, tmp_path):
    (tmp_path / "run.yaml").write_text(SMALL_RUN)
    out = tmp_path / "run"
    main(["train", "--config", str(tmp_path / "run.yaml"), "--data.source", str(folder), "--out", str(out)])
    _, info = load_model(out)
    assert info.data.shape == (3, 8, 8)
    assert info.data.classes == ("dark", "light")
    assert [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()] == [1]
