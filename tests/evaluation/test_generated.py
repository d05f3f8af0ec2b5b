"""Features of images by seed and class, and the files that keep them."""

from functools import partial

import numpy as np
import pytest
import torch

import samplers
from unetdiff import DataInfo, ModelInfo, UNet, UNetConfig
from unetdiff.config import LevelConfig
from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.evaluation.classifier import Classifier, ClassifierConfig
from unetdiff.evaluation.generated import FeatureMaker, content_key, kept
from unetdiff.pictures import to_uint8
from unetdiff.preconditioning import EDM

SIGMAS = samplers.karras(3, 0.02, 20.0)


def make_maker(num_classes=3, in_channels=1, size=(8, 8), value_range=(-1.0, 1.0), seed=0, **changes):
    torch.manual_seed(seed)
    levels = (LevelConfig(channels=8, depth=1),)
    network = UNet(UNetConfig(in_channels=1, out_channels=1, levels=levels, num_classes=num_classes, **changes)).eval()
    classifier = Classifier(ClassifierConfig(in_channels=in_channels, classes=("a", "b"), widths=(4,))).eval()
    for parameter in [*network.parameters(), *classifier.parameters()]:
        torch.nn.init.normal_(parameter, mean=0.1, std=0.3)
    data = DataInfo(channels=1, height=size[0], width=size[1], value_range=value_range)
    info = ModelInfo(preconditioning=EDM(), data=data)
    return FeatureMaker(denoiser=Denoiser(network, EDM()), info=info, classifier=classifier)


@pytest.mark.parametrize("sampler", [samplers.Heun(), samplers.DDPM()], ids=["heun", "ddpm"])
@pytest.mark.parametrize("num_classes", [None, 3])
def test_an_image_is_that_of_its_seed(sampler, num_classes):
    maker = make_maker(num_classes)
    made = partial(maker.generated, maker.denoiser, sampler, SIGMAS)
    together = made(range(5, 9))
    # in other batches a pixel of up to 1 is rounded differently by some 1e-6, which 8 bits mostly hide
    np.testing.assert_allclose(np.concatenate([made(range(5, 6)), made(range(6, 9))]), together, atol=1e-6)
    assert np.abs(together[0] - together[1:]).max(axis=1).min() > 1e-3


def test_the_class_follows_from_the_seed():
    maker, seen = make_maker(num_classes=3), []

    def denoise(x, sigma, class_labels):
        seen.append(class_labels.tolist())
        return x * 0

    maker.generated(denoise, samplers.Euler(), SIGMAS, range(4, 8))
    assert seen == [[1, 2, 0, 1]] * 3


def test_features_are_of_8_bit_pixels_in_the_classifiers_range():
    maker = make_maker(value_range=(0.0, 1.0))
    images = torch.rand(3, 1, 8, 8)
    pixels = torch.from_numpy(to_uint8(images, (0.0, 1.0))).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = maker.classifier.features(pixels / 127.5 - 1).numpy()
    np.testing.assert_array_equal(maker.features(images), expected)


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0), (-2.0, 3.0)])
def test_real_images_survive_the_models_range(fashion_mnist, value_range):
    maker = make_maker(value_range=value_range)
    data = maker.real_data("test", "fashion-mnist")
    images = maker.real_images(data, np.array([3, 7]))
    assert images.min() >= value_range[0]
    assert images.max() <= value_range[1]
    np.testing.assert_array_equal(to_uint8(images, value_range).transpose(0, 3, 1, 2), data.images[[3, 7]])


def test_real_features_are_of_images_in_random_order(fashion_mnist, tmp_path):
    maker = make_maker()
    every = maker.real("test", "fashion-mnist", tmp_path)
    in_order = maker.features(maker.real_images(maker.real_data("test", "fashion-mnist"), np.arange(100)))
    assert not np.array_equal(every, in_order)
    np.testing.assert_allclose(np.sort(every, axis=0), np.sort(in_order, axis=0), rtol=1e-5)
    np.testing.assert_array_equal(maker.real("test", "fashion-mnist", tmp_path, 30), every[:30])


def test_kept_rows_are_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr("unetdiff.evaluation.generated.BATCH", 4)
    asked = []

    def make(rows):
        asked.append(rows)
        return np.array(rows, np.float32)[:, None]

    path = tmp_path / "folder" / "rows.npy"
    for count in (6, 3, 9):
        assert kept(path, count, make).ravel().tolist() == list(range(count))
    assert asked == [range(4), range(4, 6), range(6, 9)]


def test_what_was_made_before_an_interruption_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("unetdiff.evaluation.generated.BATCH", 4)

    def interrupted(rows):
        if rows.start == 8:
            raise KeyboardInterrupt
        return np.array(rows, np.float32)[:, None]

    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "rows.npy", 10, interrupted)
    assert np.load(tmp_path / "rows.npy").ravel().tolist() == list(range(8))
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]


def test_content_tells_weights_and_settings_apart():
    makers = [make_maker(), make_maker(seed=1), make_maker(size=(8, 6)), make_maker(num_classes=4)]
    assert len({content_key(maker.content()) for maker in makers}) == 4
    assert content_key(make_maker().content()) == content_key(make_maker().content())


def test_real_images_of_another_shape_are_refused(fashion_mnist, tmp_path):
    maker = make_maker(size=(8, 6))
    with pytest.raises(InputError, match=r"data: expected images of the model's shape \(1, 8, 6\), got \(1, 8, 8\)"):
        maker.real("test", "fashion-mnist", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_channels": 3}, "model: expected 3 channels, as the classifier's, got 1"),
        ({"cross_attention_dim": 8}, "model: expected one without conditions or with classes, got one with cross"),
    ],
)
def test_models_that_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        make_maker(**changes)
