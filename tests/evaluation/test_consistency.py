"""Class consistency with a classifier whose answers are known, and the command that measures it."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from unetdiff import DataInfo, ModelInfo, UNet, UNetConfig, save_model
from unetdiff.cli.evaluate import parser, run
from unetdiff.config import LevelConfig
from unetdiff.data import DataConfig, prepare
from unetdiff.data.sources.fashion_mnist import CLASSES
from unetdiff.errors import InputError
from unetdiff.evaluation.classifier import Classifier, ClassifierConfig, save_classifier
from unetdiff.evaluation.consistency import class_consistency, dataset_consistency
from unetdiff.preconditioning import EDM


class Brightness(nn.Module):
    """Class 0 for dark images, 1 for bright ones, never 2."""

    config = ClassifierConfig(in_channels=1, classes=("0", "1", "2"))

    def forward(self, images):
        level = images.mean(dim=(1, 2, 3))
        return torch.stack([-level, level, torch.full_like(level, -9)], dim=1)


def images(*levels):
    return torch.tensor(levels)[:, None, None, None].expand(-1, 1, 2, 2)


def test_shares_are_counted_per_class():
    result = class_consistency(images(-0.5, -0.5, 0.5, 0.5, 0.5), torch.tensor([0, 1, 1, 1, 2]), Brightness())
    assert result.share == 3 / 5
    assert result.per_class == pytest.approx((1, 2 / 3, 0))


def test_parts_add_up():
    levels, labels = images(-0.5, -0.5, 0.5, 0.5), torch.tensor([0, 1, 1, 0])
    parts = [class_consistency(levels[i : i + 1], labels[i : i + 1], Brightness()) for i in range(4)]
    added, whole = parts[0] + parts[1] + parts[2] + parts[3], class_consistency(levels, labels, Brightness())
    assert torch.equal(added.hits, whole.hits)
    assert torch.equal(added.counts, whole.counts)


def test_a_dataset_is_judged_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("unetdiff.evaluation.consistency.BATCH", 2)
    pixels = np.array([0, 255, 255, 0, 200], np.uint8)[:, None, None].repeat(3, 1).repeat(3, 2)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.array([0, 1, 1, 1, 2]))
    result = dataset_consistency(prepare(DataConfig(source=str(tmp_path / "a.npz"))), Brightness())
    assert result.hits.tolist() == [1, 2, 0]
    assert result.counts.tolist() == [1, 3, 1]


def test_other_classes_are_refused(fashion_mnist):
    with pytest.raises(InputError, match="expected images of the classes 0, 1, 2, got T-shirt/top, Trouser"):
        dataset_consistency(prepare(DataConfig()), Brightness())


def saved_model(folder, classes):
    unet = UNet(UNetConfig(in_channels=1, out_channels=1, levels=(LevelConfig(channels=8),), num_classes=len(classes)))
    data = DataInfo(channels=1, height=8, width=8, classes=classes)
    save_model(folder, unet, ModelInfo(preconditioning=EDM(), data=data))
    return str(folder)


def saved_classifier(folder, **changes):
    config = ClassifierConfig(**{"in_channels": 1, "classes": CLASSES, "widths": (4,), **changes})
    classifier = Classifier(config)
    nn.init.zeros_(classifier.head.weight)
    classifier.head.bias.data = torch.arange(len(config.classes)).float()  # sees the last class everywhere
    save_classifier(folder, classifier, test_accuracy=0.1, training={})
    return str(folder)


def evaluate(*arguments):
    run(parser().parse_args([str(argument) for argument in arguments]))


def test_command_reports_both_shares(fashion_mnist, tmp_path, capsys):
    model, classifier = saved_model(tmp_path / "m", CLASSES), saved_classifier(tmp_path / "c")
    options = ["--classifier", classifier, "--n", 23, "--steps", 2, "--batch_size", 10, "--out", tmp_path / "r.json"]
    evaluate(model, *options)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["generated"] == {"overall": 2 / 23, "per_class": [0.0] * 9 + [1.0]}
    assert report["real"] == {"overall": 0.1, "per_class": [0.0] * 9 + [1.0]}
    assert report["network_calls_per_image"] == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["all", "8.7%", "10.0%"]
    assert lines[11].split() == ["Ankle", "boot", "100.0%", "100.0%"]


def test_command_says_when_there_are_no_real_images(tmp_path, capsys):
    model, classifier = saved_model(tmp_path / "m", CLASSES), saved_classifier(tmp_path / "c")
    evaluate(model, "--classifier", classifier, "--n", 10, "--steps", 1, "--data", tmp_path / "none")
    output = capsys.readouterr().out
    assert "no real images to compare with: source: expected fashion-mnist" in output
    assert "the classifier's stated accuracy: 10.0%" in output


@pytest.mark.parametrize(
    ("arguments", "classifier", "message"),
    [
        (["--n", 9], {}, "n: expected at least one image for each of 10 classes, got 9"),
        (["--n", 0], {}, "n: expected at least 1, got 0"),
        (["--steps", 0], {}, "steps: expected at least 1, got 0"),
        (["--seed", -1], {}, "seed: expected 0 or more, got -1"),
        ([], {"classes": ("x", "y")}, "model: expected the classifier's classes x, y, got T-shirt/top, Trouser"),
        ([], {"in_channels": 3}, "model: expected 3 channels, got 1"),
    ],
)
def test_what_is_refused(tmp_path, arguments, classifier, message):
    model, classifier = saved_model(tmp_path / "m", CLASSES), saved_classifier(tmp_path / "c", **classifier)
    with pytest.raises(InputError, match=message):
        evaluate(model, "--classifier", classifier, *arguments, "--out", tmp_path / "r.json")
    assert not (tmp_path / "r.json").exists()
