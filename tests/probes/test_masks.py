"""Masks from files: the numbers that they hold, brought to the images' size pixel by pixel."""

import numpy as np
import pytest
from PIL import Image

from unetdiff.errors import InputError
from unetdiff.probes.masks import read_masks

MASK = np.array([[0, 1, 2], [3, 255, 0]], dtype=np.uint8)
AS_READ = np.where(MASK == 255, -1, MASK.astype(np.int16))


def pictures(folder, *masks, mode="L"):
    (folder / "train").mkdir()
    for number, mask in enumerate(masks):
        picture = Image.fromarray(mask.astype(np.uint16) if mode == "I;16" else mask)
        if mode == "P":
            picture = Image.frombytes("P", picture.size, mask.tobytes())
            picture.putpalette([7, 8, 9] * 256)  # colours say nothing
        (picture.convert(mode) if mode == "RGB" else picture).save(folder / "train" / f"{number}.png")


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_a_pixel_is_the_number_of_its_class(mode, tmp_path):
    pictures(tmp_path, MASK, MASK[::-1].copy(), mode=mode)
    np.testing.assert_array_equal(read_masks(tmp_path, "train", 2, (2, 3)), [AS_READ, AS_READ[::-1]])


def test_pictures_are_brought_to_size_without_new_numbers(tmp_path):
    wide = np.pad(np.kron(MASK, np.ones((4, 4), np.uint8)), ((0, 0), (4, 4)), constant_values=9)  # cropped again
    pictures(tmp_path, wide)
    np.testing.assert_array_equal(read_masks(tmp_path, "train", 1, (2, 3)), AS_READ[None])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_an_array_says_the_same(dtype, tmp_path):
    np.save(tmp_path / "train.npy", MASK[None].astype(dtype))
    np.testing.assert_array_equal(read_masks(tmp_path, "train", 1, (2, 3)), AS_READ[None])


def test_numbers_below_zero_are_not_known(tmp_path):
    np.save(tmp_path / "train.npy", np.array([[[-7, 1]]]))
    np.testing.assert_array_equal(read_masks(tmp_path, "train", 1, (1, 2)), [[[-1, 1]]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "masks: expected .*train.npy or pictures in .*train, got neither"),
        (lambda folder: pictures(folder, MASK), "one for each of the 2 images of train, got 1"),
        (lambda folder: pictures(folder, MASK, MASK, mode="RGB"), "grey or with a palette, got a picture of mode RGB"),
        (lambda folder: np.save(folder / "train.npy", MASK[None] * 1.0), r"expected integers \(N, 2, 3\), got float64"),
        (lambda folder: np.save(folder / "train.npy", MASK), r"expected integers \(N, 2, 3\), got uint8 \(2, 3\)"),
        (lambda folder: np.save(folder / "train.npy", MASK[None].repeat(2, axis=0) * 0 + 255), "known class in train"),
        (lambda folder: (folder / "train.npy").write_bytes(b"no"), "a NumPy array expected, got something that"),
        (lambda folder: np.save(folder / "train.npy", np.full((2, 2, 3), 99999)), "up to 32767 expected, got 99999"),
    ],
)
def test_refusals(make, message, tmp_path):
    make(tmp_path)
    with pytest.raises(InputError, match=message):
        read_masks(tmp_path, "train", 2, (2, 3))


def test_a_damaged_picture_is_named(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "0.png").write_bytes(b"\x89PNG no")
    with pytest.raises(InputError, match=r"0.png: a picture expected, got something that cannot be read"):
        read_masks(tmp_path, "train", 1, (2, 3))
