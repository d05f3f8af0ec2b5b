"""`unetdiff eval`: of a model, of a folder, again, after an interruption, and what it refuses."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unetdiff import DataInfo, ModelInfo, UNet, UNetConfig, save_model
from unetdiff.cli.main import main
from unetdiff.config import LevelConfig
from unetdiff.data import DataConfig, prepare
from unetdiff.data.sources.fashion_mnist import CLASSES
from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.evaluation.classifier import Classifier, ClassifierConfig, save_classifier
from unetdiff.evaluation.classifier_features import ClassifierFeatures
from unetdiff.evaluation.distances import FrechetDistance, KernelDistance
from unetdiff.evaluation.manifold import Manifolds
from unetdiff.losses import LogNormalObjective, denoising_loss
from unetdiff.preconditioning import EDM

FAST = ["--bootstrap", "5", "--subsets", "2", "--held-out", "3", "--sigmas", "0.5,3", "--steps", "1"]


def saved_model(folder, classes=CLASSES):
    torch.manual_seed(1)
    levels = (LevelConfig(channels=8),)
    unet = UNet(UNetConfig(in_channels=1, out_channels=1, levels=levels, num_classes=len(classes) or None))
    for parameter in unet.parameters():
        nn.init.normal_(parameter, std=0.2)
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


@pytest.fixture
def model(tmp_path):
    return saved_model(tmp_path / "m")


@pytest.fixture
def classifier(tmp_path):
    return saved_classifier(tmp_path / "c")


@pytest.fixture
def evaluate(model, classifier, tmp_path):
    """Give a function that runs the command, quickly, and gives its JSON file."""

    def run(*options, subject=(model, "fashion-mnist"), out=tmp_path / "r.json"):
        arguments = [*subject, "--classifier", classifier, *FAST, "--out", out, *options]
        assert main(["eval", *map(str, arguments)]) == 0
        return json.loads(out.read_text())

    return run


def by_name(report):
    return {row["measure"]: row for row in report["measures"]}


def test_the_table_has_all_measures_and_the_classes_below(fashion_mnist, evaluate, tmp_path, capsys):
    report = evaluate("--n", 23, "--batch-size", 10, "--csv", tmp_path / "t.csv")
    assert report["classes"]["generated"] == {"overall": 2 / 23, "per_class": [0.0] * 9 + [1.0]}
    assert report["classes"]["real"] == {"overall": 0.1, "per_class": [0.0] * 9 + [1.0]}
    assert report["network_calls_per_image"] == 1
    rows = by_name(report)
    assert rows["right class"]["value"] == 2 / 23
    assert rows["right class"]["floor"] == 0.1
    assert list(rows)[1:] == [
        "Frechet distance",
        "kernel distance",
        "kernel distance, 2 subsets of 23",
        "precision",
        "recall",
        "density",
        "coverage",
        "copies of training images",
        "denoising loss at sigma 0.5",
        "denoising loss at sigma 3",
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[-1] == "10.0%"
    assert "all               8.7%   10.0%" in lines
    assert "Ankle boot      100.0%  100.0%" in lines
    with (tmp_path / "t.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [float(row["value"]) for row in written] == [row["value"] for row in rows.values()]


def test_the_numbers_are_those_of_the_real_images_in_their_place(fashion_mnist, evaluate, classifier):
    report = by_name(evaluate("--n", 30))
    order = np.random.default_rng(0).permutation(400)[:30]
    training, test = (prepare(DataConfig(split=split, size=8)) for split in ("train", "test"))
    space = ClassifierFeatures.load(Path(classifier))
    x, y = (space(torch.from_numpy(images.copy()) / 127.5 - 1).numpy() for images in (training.images, test.images))
    chosen = np.random.default_rng(0).permutation(100)
    assert report["Frechet distance"]["floor"] == pytest.approx(FrechetDistance(y)(x[order]).value, rel=1e-4)
    assert report["kernel distance"]["floor"] == pytest.approx(KernelDistance(y)(x[order]).value, rel=1e-3, abs=1e-6)
    by_hand = Manifolds.of(x[order], y[chosen[:30]], 5)
    assert report["recall"]["floor"] == pytest.approx(by_hand.recall.mean(), abs=1e-12)


def test_the_denoising_loss_is_the_objectives(fashion_mnist, evaluate, model):
    report = by_name(evaluate("--n", 10))
    test = prepare(DataConfig(split="test", size=8))
    rows = np.random.default_rng(0).permutation(100)[:3]
    images = torch.from_numpy(test.images[rows]) / 127.5 - 1
    noise = torch.stack([torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(3)])
    denoiser = Denoiser.from_pretrained(model)
    with torch.no_grad():
        labels = torch.from_numpy(test.labels[rows])
        sigma = torch.full((3,), 3.0)
        losses = denoising_loss(denoiser, LogNormalObjective(), images, noise, sigma, class_labels=labels)
    assert report["denoising loss at sigma 3"]["value"] == pytest.approx(losses.mean().item(), rel=1e-5)


def test_twice_and_after_an_interruption_it_says_the_same(fashion_mnist, evaluate, tmp_path, capsys):
    options = ("--n", 20, "--batch-size", 8, "--sampler", "ddpm")
    first = evaluate(*options, "--samples", tmp_path / "one")
    assert "20 of 20 images made" in capsys.readouterr().err
    assert evaluate(*options, "--samples", tmp_path / "one") == first
    assert "0 of 20 images made" in capsys.readouterr().err
    assert evaluate(*options, "--samples", tmp_path / "two") == first
    made = sorted((tmp_path / "two").glob("*seed*.png"))
    before = [path.read_bytes() for path in made]
    for path in made[::3]:
        path.unlink()
    assert evaluate(*options, "--samples", tmp_path / "two") == first
    assert "7 of 20 images made" in capsys.readouterr().err.splitlines()[-1]
    assert [path.read_bytes() for path in made] == before


@pytest.mark.slow
def test_two_processes_say_the_same(fashion_mnist, evaluate, model, classifier, tmp_path):
    options = ["--n", "20", "--batch-size", "4"]
    one = evaluate(*options)
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "-m",
        "--",
        "unetdiff",
    ]
    command = ["eval", model, "fashion-mnist", "--classifier", classifier, *FAST, "--device", "cpu", *options]
    where = ["--out", str(tmp_path / "two.json"), "--samples", str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *command, *where], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "two.json").read_text()) == one


def test_samples_are_judged_as_the_model_is(fashion_mnist, evaluate, tmp_path):
    of_model = evaluate("--n", 20, "--samples", tmp_path / "s")
    assert evaluate("--images", tmp_path / "s")["measures"] == of_model["measures"]


def test_any_folder_of_images_and_any_of_real_ones(evaluate, tmp_path):
    """Data without a test part are halved; images of their classes, which a classifier knows, are told by folder."""
    draw = np.random.default_rng(0)
    for folder, count in (("real", 40), ("fake", 12)):
        for number in range(count):
            place = tmp_path / folder / CLASSES[number % 2].replace("/", "-")
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8)).save(place / f"{number}.png")
    report = evaluate("--images", tmp_path / "fake", "--features", "classifier", subject=[tmp_path / "real"])
    assert report["n"] == 12
    assert report["reference"] == 20
    assert by_name(report)["copies of training images"]["floor"] is None
    assert report["not_measured"] == ["right class: the images do not show the classes of a classifier that is known"]


def test_a_copied_folder_is_found_out(fashion_mnist, evaluate, tmp_path):
    (tmp_path / "copies").mkdir()
    training = prepare(DataConfig())
    for row in range(8):
        Image.fromarray(training.images[row, 0]).save(tmp_path / "copies" / f"{row}.png")
    options = ["--images", tmp_path / "copies", "--features", "classifier"]
    assert by_name(evaluate(*options, subject=["fashion-mnist"]))["copies of training images"]["value"] == 1


def test_it_says_what_it_cannot_measure(fashion_mnist, evaluate, tmp_path):
    classless = saved_model(tmp_path / "classless", ())
    report = evaluate("--n", 8, "--features", "classifier", subject=(classless, "fashion-mnist"))
    assert report["not_measured"] == ["right class: the images do not show the classes of a classifier that is known"]
    assert "denoising loss at sigma 3" in by_name(report)


def test_no_loss_is_called_held_out_that_is_not(fashion_mnist, evaluate, model, tmp_path):
    for number, image in enumerate(prepare(DataConfig()).images[:40]):
        place = tmp_path / "real" / CLASSES[number % 10].replace("/", "-")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(place / f"{number}.png")
    report = evaluate("--n", 10, subject=(model, tmp_path / "real"))
    assert not [name for name in by_name(report) if "denoising" in name]
    expected = "denoising loss: no image is known to be held out of the training, the data have no test part"
    assert expected in report["not_measured"]


def test_levels_beyond_the_models_are_left_out(fashion_mnist, evaluate):
    report = evaluate("--n", 10, "--sigmas", "0.5,1000")
    assert [name for name in by_name(report) if "denoising" in name] == ["denoising loss at sigma 0.5"]
    report = evaluate("--n", 10, "--sigmas", "1000")
    assert report["not_measured"] == ["denoising loss: no noise level of --sigmas is in the model's range, 0.002 to 80"]


def test_without_real_images_classes_remain(evaluate, model, monkeypatch):
    def missing():
        raise InputError("no Fashion-MNIST")

    monkeypatch.setattr("unetdiff.data.sources.opening.find_fashion_mnist", missing)
    report = evaluate("--n", 10, subject=[model])
    assert list(by_name(report)) == ["right class"]
    assert report["classes"]["real"] is None
    assert report["not_measured"] == ["all but classes and captions, for want of real images: no Fashion-MNIST"]


def test_json_is_all_that_is_printed(fashion_mnist, evaluate, capsys):
    report = evaluate("--n", 10, "--json")
    assert json.loads(capsys.readouterr().out) == report


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (["--n", 9], {}, "n: expected at least one image for each of 10 classes, got 9"),
        (["--n", 0], {}, "n: expected at least 1, got 0"),
        (["--n", 10, "--k", 10], {}, "k: expected less than the number of images, 10, got 10"),
        (["--steps", 0], {}, "steps: expected at least 1, got 0"),
        (["--seed", -1], {}, "seed: expected 0 or more, got -1"),
        (["--sigmas", "0.5,x"], {}, "sigmas: expected noise levels with commas between, got '0.5,x'"),
        (["--images", "no/such"], {}, "images: expected a folder of images, got no/such"),
        (["--skip", "auto"], {}, "skip.json expected, which `unetdiff skip-search` writes"),
        ([], {"classes": ("x", "y")}, "model: expected the classifier's classes x, y, got T-shirt/top, Trouser"),
        ([], {"in_channels": 3}, "model: expected 3 channels, got 1"),
    ],
)
def test_what_is_refused(fashion_mnist, model, tmp_path, arguments, changes, message, refused):
    classifier, out = saved_classifier(tmp_path / "c", **changes), tmp_path / "r.json"
    command = ["eval", model, "fashion-mnist", "--classifier", classifier, *FAST, *arguments, "--out", out]
    assert message in refused([*map(str, command)])
    assert not out.exists()


def test_data_that_were_named_have_to_be_there(model, refused):
    assert "source: expected fashion-mnist" in refused(["eval", model, "no/such/data"])


def test_images_of_another_shape_are_refused(fashion_mnist, tmp_path, refused):
    (tmp_path / "small").mkdir()
    for number in range(8):
        Image.new("L", (9, 9)).save(tmp_path / "small" / f"{number}.png")
    message = refused(["eval", "fashion-mnist", "--images", str(tmp_path / "small")])
    assert "images: expected the shape of the data's images (1, 28, 28), got (1, 9, 9)" in message
