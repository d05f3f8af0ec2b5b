"""The classifier: what it computes, that it survives storage, that it learns, and the one that is shipped."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from unetdiff.cli.train_classifier import parser, run
from unetdiff.data import DataConfig, prepare
from unetdiff.errors import InputError
from unetdiff.evaluation.classifier import (
    SHIPPED,
    Classifier,
    ClassifierConfig,
    load_classifier,
    save_classifier,
)
from unetdiff.evaluation.classifier_training import ClassifierTraining, shifted, train_classifier
from unetdiff.evaluation.consistency import dataset_consistency

TINY = ClassifierConfig(in_channels=1, classes=("a", "b", "c"), widths=(2, 3))


def test_logits_are_linear_in_the_features():
    classifier = Classifier(TINY).eval()
    images = torch.randn(4, 1, 9, 12)
    features = classifier.features(images)
    assert features.shape == (4, 3)
    torch.testing.assert_close(classifier(images), F.linear(features, classifier.head.weight, classifier.head.bias))


def test_saved_and_loaded_is_the_classifier_in_half_precision(tmp_path):
    classifier = Classifier(TINY)
    classifier(torch.randn(8, 1, 9, 9))  # moves the running statistics
    save_classifier(tmp_path / "c", classifier, test_accuracy=0.75, training={"epochs": 2})
    loaded, accuracy = load_classifier(tmp_path / "c")
    assert accuracy == 0.75
    assert loaded.config == TINY
    assert not loaded.training
    for name, tensor in loaded.state_dict().items():
        original = classifier.state_dict()[name]
        expected = original.half().float() if original.is_floating_point() else original
        torch.testing.assert_close(tensor, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("size", [None, 0, 30])
def test_damaged_folder_is_named(tmp_path, name, size):
    save_classifier(tmp_path / "c", Classifier(TINY), test_accuracy=0.75, training={})
    path = tmp_path / "c" / name
    if size is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"c: expected a classifier \(config.json, model.safetensors\), got"):
        load_classifier(tmp_path / "c")


def test_shift_moves_images_by_whole_pixels_and_brings_in_black():
    images = torch.full((50, 2, 5, 6), -1.0)
    images[:, :, 2, 3] = torch.arange(100).reshape(50, 2).float()
    moved = shifted(images, 2, torch.Generator().manual_seed(0))
    places = [tuple(torch.nonzero(image[1] != -1)[0].tolist()) for image in moved]
    assert moved.shape == images.shape
    assert {row for row, _ in places} == {0, 1, 2, 3, 4}
    assert {column for _, column in places} == {1, 2, 3, 4, 5}
    for image, (row, column) in zip(range(50), places, strict=True):
        assert moved[image, :, row, column].tolist() == [2 * image, 2 * image + 1]
    assert (moved != -1).sum() == 100


def test_no_shift_is_the_image():
    images = torch.randn(3, 1, 4, 5)
    assert torch.equal(shifted(images, 0, torch.Generator()), images)


def test_training_is_repeatable_and_learns(fashion_mnist):
    train, test = prepare(DataConfig()), prepare(DataConfig(split="test"))
    training = ClassifierTraining(epochs=4, batch=40, shift=0)
    first, second = (train_classifier(train, training) for _ in range(2))
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert dataset_consistency(test, first).share > 0.4  # chance is 0.1


def test_command_trains_measures_and_saves(fashion_mnist, tmp_path, capsys):
    options = ["fashion-mnist", "--out", str(tmp_path / "c"), "--epochs", "1", "--batch", "100"]
    run(parser().parse_args(options))
    classifier, accuracy = load_classifier(tmp_path / "c")
    assert f"{accuracy:.2%} of 100 test images right" in capsys.readouterr().out
    assert classifier.config.classes[9] == "Ankle boot"
    assert json.loads((tmp_path / "c" / "config.json").read_text())["training"]["epochs"] == 1


@pytest.mark.parametrize("setting", ["epochs", "batch", "learning_rate"])
def test_settings_that_are_refused(setting):
    with pytest.raises(InputError, match=f"{setting}: expected more than 0, got 0"):
        ClassifierTraining(**{setting: 0})


def test_images_without_labels_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 8, 8), np.uint8))
    with pytest.raises(InputError, match="expected images with labels, got none"):
        train_classifier(prepare(DataConfig(source=str(tmp_path / "a.npy"))), ClassifierTraining())


def test_shipped_classifier_knows_real_clothes(fashion_mnist):
    classifier, accuracy = load_classifier()
    assert accuracy >= 0.92
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 2**20
    deviation = (accuracy * (1 - accuracy) / 100) ** 0.5
    measured = dataset_consistency(prepare(DataConfig(split="test")), classifier).share
    assert measured > accuracy - 3 * deviation
