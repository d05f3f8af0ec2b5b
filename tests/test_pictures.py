"""Pixels, grids, and facts in PNG files."""

import numpy as np
import pytest
import torch
from PIL import Image

from unetdiff.errors import InputError
from unetdiff.pictures import from_pixels, from_uint8, grid, read_facts, read_pixels, read_png, save_png, to_uint8


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0), (-3.0, 5.0)])
def test_every_level_survives(value_range):
    low, high = value_range
    levels = torch.arange(256, dtype=torch.float32).reshape(1, 1, 16, 16)
    pixels = to_uint8(low + levels / 255 * (high - low), value_range)
    assert np.array_equal(pixels[0, ..., 0], levels[0, 0].numpy())
    assert np.array_equal(to_uint8(from_uint8(pixels, value_range), value_range), pixels)


def test_values_out_of_range_are_clamped_and_others_rounded_to_the_nearest():
    values = torch.tensor([-7.0, -1.0, 0.2 / 127.5 - 1, 0.8 / 127.5 - 1, 1.0, 7.0])
    assert to_uint8(values.reshape(1, 1, 1, 6)).ravel().tolist() == [0, 0, 0, 1, 255, 255]


def test_channels_go_last():
    images = torch.rand(2, 3, 4, 5) * 2 - 1
    pixels = to_uint8(images)
    assert pixels.shape == (2, 4, 5, 3)
    assert np.array_equal(pixels[1, ..., 2], to_uint8(images[1:, 2:])[0, ..., 0])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_names_its_image(value):
    images = torch.zeros(4, 1, 2, 2)
    images[2, 0, 1, 1] = value
    with pytest.raises(InputError, match="image 2: finite values expected"):
        to_uint8(images)


def test_two_channels_are_not_a_picture():
    with pytest.raises(InputError, match="1 or 3 channels expected, got 2"):
        from_pixels(np.zeros((4, 4, 2), np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("labels", [None, ["T-shirt/top", "Ankle boot"]])
def test_every_image_is_in_the_grid_at_its_place(channels, scale, labels):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 6, channels), dtype=np.uint8)
    picture = np.asarray(grid(pixels, 3, labels, scale)).reshape(-1, grid(pixels, 3, labels, scale).width, channels)
    height, width = 4 * scale, 6 * scale
    margin = picture.shape[1] - (3 * (width + 2) + 2)
    assert picture.shape[0] == 2 * (height + 2) + 2
    assert (margin > 0) == (labels is not None)
    for index, image in enumerate(pixels):
        top, left = 2 + index // 3 * (height + 2), margin + 2 + index % 3 * (width + 2)
        cell = picture[top : top + height, left : left + width]
        assert np.array_equal(cell, image.repeat(scale, 0).repeat(scale, 1))
    assert (picture[2 + height + 2 :, margin + 2 + 2 * (width + 2) :] == 255).all()


def test_labels_stand_beside_their_rows():
    pixels = np.full((3, 28, 28, 1), 255, np.uint8)
    dark = np.asarray(grid(pixels, 1, ["first", "", "third"])) < 128
    assert dark[:30].any()
    assert not dark[32:60].any()
    assert dark[62:].any()


def test_facts_are_read_back_from_the_file(tmp_path):
    path = tmp_path / "image.png"
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    facts = {"seed": "3", "class_name": '"T-shirt/top"', "empty": "", "other script": "Ærmeløs 衣服"}
    save_png(path, from_pixels(pixels), facts)
    assert read_facts(path) == facts
    assert np.array_equal(read_png(path), pixels)
    assert [entry.name for entry in tmp_path.iterdir()] == ["image.png"]


def test_a_grey_picture_keeps_its_channel(tmp_path):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    save_png(tmp_path / "grey.png", from_pixels(pixels), {})
    with Image.open(tmp_path / "grey.png") as image:
        assert image.mode == "L"
    assert np.array_equal(read_png(tmp_path / "grey.png"), pixels)


def test_another_file_called_png_is_named(tmp_path):
    (tmp_path / "image.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"image\.png: a PNG picture expected"):
        read_facts(tmp_path / "image.png")


@pytest.mark.parametrize("channels", [1, 3])
def test_any_picture_takes_the_form_asked_for(tmp_path, channels):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 10:30] = 200  # what is left of it in a square
    Image.fromarray(pixels).save(tmp_path / "wide.jpg", quality=100)
    read = read_pixels(tmp_path / "wide.jpg", channels, (10, 10))
    assert read.shape == (10, 10, channels)
    assert np.abs(read[:, 2:-2].astype(int) - 200).max() <= 1  # Lanczos rings at the cut


def test_a_picture_of_the_form_asked_for_is_left_as_it_is(tmp_path):
    pixels = np.arange(48, dtype=np.uint8).reshape(8, 6, 1)
    save_png(tmp_path / "small.png", from_pixels(pixels), {})
    assert np.array_equal(read_pixels(tmp_path / "small.png", 1, (8, 6)), pixels)


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(InputError, match="text.png: a picture expected"):
        read_pixels(tmp_path / "text.png", 1, (8, 6))
