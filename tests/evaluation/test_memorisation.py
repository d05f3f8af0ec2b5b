from pathlib import Path

import numpy as np
import pytest

from unetdiff.data import DataConfig, PackedDataset, prepare
from unetdiff.evaluation.memorisation import Closeness, closeness
from unetdiff.evaluation.neighbour_picture import neighbour_picture


@pytest.fixture
def training(fashion_mnist):
    return prepare(DataConfig())


def dataset(images):
    return PackedDataset(
        folder=Path(), images=images, labels=None, captions=None, vectors=None, classes=(), fingerprint="", unreadable=0
    )


def test_the_ratio_is_that_of_carlini_et_al():
    """Training images at 51, 2 x 51, ... 50 x 51 levels, of which 255 is white, seen from black."""
    levels = np.arange(1, 51, dtype=np.uint16) * 51
    near = closeness(np.zeros((1, 1, 2, 2), np.uint16), dataset(np.tile(levels[:, None, None, None], (1, 1, 2, 2))))
    assert near.ratios == pytest.approx([1 / (0.5 * 25.5)], rel=1e-12)
    assert near.distances == pytest.approx([51 / 65535], rel=1e-12)


def test_copies_are_found_and_held_out_images_are_none(training):
    test = prepare(DataConfig(split="test")).images
    noise = np.random.default_rng(0).integers(-3, 4, (5, *training.images.shape[1:]))
    copies = (training.images[100:105].astype(int) + noise).clip(0, 255).astype(np.uint8)
    found = closeness(np.concatenate([copies, test]), training)
    assert found.indices[:5].tolist() == [100, 101, 102, 103, 104]
    assert found.memorised[:5].all()
    assert found.memorised[5:].mean() < 0.1  # some are, as 50 neighbours among 40 images of each class are far


def test_an_image_that_the_training_set_repeats_is_a_copy():
    assert closeness(np.ones((1, 1, 2, 2), np.uint8), dataset(np.ones((60, 1, 2, 2), np.uint8))).memorised.all()


@pytest.mark.parametrize(("channels", "side", "mode"), [(1, 28, "L"), (3, 5, "RGB"), (3, 200, "RGB")])
def test_the_picture_holds_each_image_beside_its_neighbour(channels, side, mode):
    images, neighbours = (
        np.zeros((3, side, side, channels), np.uint8),
        np.full((3, side, side, channels), 100, np.uint8),
    )
    near = Closeness(indices=np.arange(3), distances=np.array([0.1, 0.2, 0.3]), ratios=np.array([0.5, 1.5, 1.5]))
    picture = neighbour_picture(images, neighbours, near, columns=2)
    assert picture.mode == mode
    pixels = np.asarray(picture.convert("L"))
    scale = -(-112 // (2 * side))
    assert (pixels[2 : 2 + side * scale, 2 : 2 + side * scale] == 0).all()
    assert (pixels[2 : 2 + side * scale, 2 + side * scale : 2 + 2 * side * scale] == 100).all()
