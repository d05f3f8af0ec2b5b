"""Folders of image files: order, classes, modes, framing, and what cannot be read."""

import numpy as np
import pytest
from PIL import Image

from unetdiff.data import DataConfig, prepare
from unetdiff.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def save(path, pixels=PIXELS, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def packed(folder, **settings):
    return prepare(DataConfig(source=str(folder), **settings))


def one(folder, **settings):
    (image,) = packed(folder, **settings).images
    return np.asarray(image)


def test_subfolders_are_the_classes_and_paths_the_order(tmp_path):
    for number, name in enumerate(["b/2.png", "a/1.png", "b/deep/1.png", "a/0.PNG", "b/1.png"]):
        save(tmp_path / name, np.full((2, 2), number, np.uint8))
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / ".hidden.png").write_bytes(b"no image")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    data = packed(tmp_path)
    assert data.classes == ("a", "b")
    assert data.images[:, 0, 0, 0].tolist() == [3, 1, 4, 0, 2]
    assert data.labels.tolist() == [0, 0, 1, 1, 1]


def test_flat_folder_has_no_labels(tmp_path):
    save(tmp_path / "0.png")
    assert packed(tmp_path).labels is None


def test_train_and_test_subfolders_are_the_splits(tmp_path):
    for number, name in enumerate(["train/a", "train/b", "test/a", "test/b"]):
        save(tmp_path / name / "0.png", np.full((2, 2), number, np.uint8))
    assert packed(tmp_path, split="train").images[:, 0, 0, 0].tolist() == [0, 1]
    assert packed(tmp_path, split="test").images[:, 0, 0, 0].tolist() == [2, 3]


def test_colour_keeps_its_pixels(tmp_path):
    save(tmp_path / "0.png")
    np.testing.assert_array_equal(one(tmp_path), PIXELS.transpose(2, 0, 1))


def test_orientation_in_exif_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera turned: shown rotated by 90 degrees clockwise
    save(tmp_path / "0.png", exif=exif)
    np.testing.assert_array_equal(one(tmp_path), np.rot90(PIXELS, -1).transpose(2, 0, 1))


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.dstack([PIXELS, np.zeros((4, 6), np.uint8)])
    rgba[0, 0, 3] = 255
    save(tmp_path / "0.png", rgba)
    image = one(tmp_path)
    np.testing.assert_array_equal(image[:, 0, 0], PIXELS[0, 0])
    assert (image[:, 1:] == 255).all()


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("CMYK", 3), ("RGBA", 3)])
def test_every_mode_becomes_grey_or_colour(tmp_path, mode, channels):
    Image.new(mode, (2, 2)).save(tmp_path / "0.tif")
    assert one(tmp_path).shape == (channels, 2, 2)


def test_sixteen_bits_are_scaled(tmp_path):
    save(tmp_path / "0.png", np.array([[0, 257, 32896, 65535]], np.uint16))
    assert one(tmp_path).tolist() == [[[0, 1, 128, 255]]]


def test_size_crops_the_centre_and_channels_converts(tmp_path):
    stripes = np.zeros((8, 24), np.uint8)
    stripes[:, 8:16] = 200
    save(tmp_path / "0.png", stripes)
    np.testing.assert_array_equal(one(tmp_path, size=8, channels=3), np.full((3, 8, 8), 200))
    assert one(tmp_path, size=4).shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (PIXELS[:, :5], r"1.png: expected 6x4 pixels as in 0.png, got 5x4; set size"),
        (PIXELS[..., 0], r"1.png: expected 3 channels as in 0.png, got 1; set channels"),
    ],
)
def test_images_that_disagree_are_named(tmp_path, other, message):
    save(tmp_path / "0.png")
    save(tmp_path / "1.png", np.ascontiguousarray(other))
    with pytest.raises(InputError, match=message):
        packed(tmp_path)


def damaged(tmp_path, total, bad):
    """`total` files of which `bad` end too early."""
    for number in range(total):
        save(tmp_path / f"{number:03}.png", np.full((8, 8), number, np.uint8))
    for number in range(bad):
        path = tmp_path / f"{7 + number:03}.png"
        path.write_bytes(path.read_bytes()[:50])


def test_one_percent_unreadable_is_skipped_named_and_counted(tmp_path, caplog):
    damaged(tmp_path, 100, 1)
    data = packed(tmp_path)
    assert data.unreadable == 1
    assert data.images[:, 0, 0, 0].tolist() == [*range(7), *range(8, 100)]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "007.png" in record.getMessage()


def test_more_than_one_percent_unreadable_is_refused(tmp_path):
    damaged(tmp_path, 100, 2)
    with pytest.raises(InputError, match=r"at most 1% of 100, got 2 .*007\.png: .*; .*008\.png"):
        packed(tmp_path)


def test_a_whole_unreadable_chunk_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr("unetdiff.data.sources.decoding.CHUNK_FILES", 1)
    damaged(tmp_path, 100, 1)
    assert len(packed(tmp_path)) == 99


def test_empty_folder(tmp_path):
    with pytest.raises(InputError, match=r"expected image files \(.*\.png.*\), got none"):
        packed(tmp_path)


def test_images_beside_class_folders(tmp_path):
    save(tmp_path / "stray.png")
    save(tmp_path / "a" / "0.png")
    with pytest.raises(InputError, match=r"expected every image in a class folder, got stray\.png"):
        packed(tmp_path)
