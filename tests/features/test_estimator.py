"""`DiffusionFeatures` is a scikit-learn transformer whose rows are the features of single images."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from unetdiff.config import LevelConfig, ResnetConfig, UNetConfig
from unetdiff.errors import InputError
from unetdiff.features.estimator import DiffusionFeatures
from unetdiff.model_folder import DataInfo, ModelInfo, save_model
from unetdiff.preconditioning import EDM
from unetdiff.unet import UNet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    level = LevelConfig(channels=8, depth=1)
    config = UNetConfig(in_channels=2, out_channels=2, levels=(level, level), resnet=ResnetConfig(norm_groups=4))
    info = ModelInfo(preconditioning=EDM(), data=DataInfo(channels=2, height=8, width=6, value_range=(-1.0, 1.0)))
    path = tmp_path_factory.mktemp("model") / "folder"
    save_model(path, UNet(config), info)
    return path


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (9, 2, 8, 6), dtype=np.uint8)


def test_rows_are_nodes_and_noise_levels_side_by_side(folder, images):
    both = DiffusionFeatures(folder, nodes="mid_block.*.0,conv_in", sigma=[0.1, "logsnr:0"]).fit_transform(images)
    assert both.shape == (9, 2 * (8 + 8))
    assert both.dtype == np.float32
    one = DiffusionFeatures(folder, nodes=["conv_in"], sigma=1.0).fit_transform(images)
    np.testing.assert_allclose(both[:, 8:16], one, rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_row_belongs_to_its_image(folder, images, batch_size):
    features = DiffusionFeatures(folder).fit(images)
    whole = features.transform(images)
    some = features.set_params(batch_size=batch_size).transform(images[[7, 2, 5]])
    np.testing.assert_allclose(some, whole[[7, 2, 5]], rtol=0, atol=1e-6)
    assert len(np.unique(whole, axis=0)) == 9


def test_every_form_of_the_same_images(folder, images):
    first = DiffusionFeatures(folder, noisy=False).fit_transform(images)
    last = DiffusionFeatures(folder, noisy=False).fit_transform(images.transpose(0, 2, 3, 1))
    floats = DiffusionFeatures(folder, noisy=False).fit_transform(images / 255)
    np.testing.assert_allclose(last, first, rtol=0, atol=1e-6)
    np.testing.assert_allclose(floats, first, rtol=0, atol=1e-6)


def test_grey_images_need_no_channel():
    images = np.random.default_rng(0).random((2, 28, 28), dtype=np.float32)
    rows = DiffusionFeatures(nodes="conv_in").fit_transform(images)
    np.testing.assert_array_equal(rows, DiffusionFeatures(nodes="conv_in").fit_transform(images[:, None]))
    assert rows.shape == (2, 32)


def test_a_step_of_a_pipeline(folder, images):
    labels = np.arange(9) % 3
    pipeline = make_pipeline(DiffusionFeatures(folder, nodes="all"), PCA(4), LogisticRegression())
    predicted = clone(pipeline).fit(images, labels).predict(images)
    assert predicted.shape == (9,)
    assert np.array_equal(predicted, pipeline.fit(images, labels).predict(images))


def test_parameters(folder, images):
    features = DiffusionFeatures(folder, nodes="conv_in", sigma="logsnr:1", seed=3)
    parameters = features.get_params()
    assert parameters["nodes"] == "conv_in"
    assert parameters["seed"] == 3
    copy = clone(features.fit(images))
    assert copy.get_params() == parameters
    with pytest.raises(NotFittedError):
        copy.transform(images)
    assert not np.array_equal(copy.set_params(seed=4).fit_transform(images), features.transform(images))


def test_names_of_the_columns(folder, images):
    features = DiffusionFeatures(folder, nodes="conv_in,mid_block.*.0", pool=2, sigma=[0.5, 2]).fit(images)
    names = features.get_feature_names_out()
    assert len(names) == features.transform(images).shape[1]
    assert (names[0], names[-1]) == ("conv_in 0.5 0", "mid_block.resnets.0 2 31")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 8, 6), np.uint8), r"expected \(N, 8, 6\) with 2 channels, got shape \(3, 8, 6\)"),
        (np.zeros((3, 2, 9, 6), np.uint8), r"expected \(N, 8, 6\) with 2 channels, got shape \(3, 2, 9, 6\)"),
        (np.zeros((0, 2, 8, 6), np.uint8), r"got shape \(0, 2, 8, 6\)"),
        (np.zeros((3, 2, 8, 6), np.int64), "expected uint8, or floats from 0 to 1, got int64"),
        (np.full((3, 2, 8, 6), 200.0), "expected floats from 0 to 1, got 200.0 to 200.0"),
        (np.full((3, 2, 8, 6), np.nan), "expected floats from 0 to 1, got nan to nan"),
    ],
)
def test_other_images_are_refused(folder, images, message):
    with pytest.raises(InputError, match=message):
        DiffusionFeatures(folder).fit(images)
