"""`unetdiff fine-tune-classifier`: a classifier out of a model and a folder of images, and what it refuses."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from unetdiff.cli.main import main
from unetdiff.model_folder import load_model
from unetdiff.probes.fine_tuning import load_classifier

TAP = "mid_block.resnets.1"
SHORT = ["--epochs", "2", "--least-steps", "1", "--batch", "8"]


@pytest.fixture
def images(tmp_path):
    """Train and test folders of 16 dark and 16 bright images of 8 x 6 pixels each."""
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for name, least in (("dark", 0), ("bright", 200)):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(16):
                pixels = generator.integers(least, least + 50, size=(8, 6)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "images"


@pytest.mark.parametrize("head", ["mlp", "cnn"])
def test_a_classifier_is_trained_measured_and_saved(model, images, tmp_path, capsys, head):
    out = tmp_path / "classifier"
    arguments = [str(model), str(images), "--tap", TAP, "--sigma", "0.1", "--head", head, "--out", str(out), *SHORT]
    assert main(["fine-tune-classifier", *arguments, "--freeze", '["down_blocks"]', "--input", "clean"]) == 0
    assert "of 32 test images right, of epoch" in capsys.readouterr().out
    facts = json.loads((out / "classifier.json").read_text())
    assert 0 <= facts["test_accuracy"] <= 1
    assert facts["training"]["freeze"] == ["down_blocks"]
    classifier, _ = load_classifier(out)
    assert classifier.config.classes == ("bright", "dark")
    assert (classifier.config.tap, classifier.config.sigma, classifier.config.noisy) == (TAP, 0.1, False)
    tuned, given = load_model(out)[0].unet.state_dict(), load_model(model)[0].unet.state_dict()
    assert torch.equal(tuned["down_blocks.0.resnets.0.conv1.weight"], given["down_blocks.0.resnets.0.conv1.weight"])
    assert not torch.equal(tuned["conv_in.weight"], given["conv_in.weight"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            ["--tap", "mid_block.resnet"],
            "tap: expected a feature map (N, C, h, w) of this network, got mid_block.resnet",
        ),
        (["--sigma", "t:5"], "no timesteps"),
        (["--head", "attention", "--epochs", "0"], "epochs: expected at least 1"),
        (["--freeze", '["conv_on"]'], "freeze: expected a pattern of names in the network, got conv_on"),
        (["--held-out", "1"], "held_out: expected a number between 0 and 1"),
    ],
)
def test_refusals_leave_nothing(model, images, tmp_path, refused, option, message):
    out = tmp_path / "classifier"
    given = ["fine-tune-classifier", str(model), str(images), "--tap", TAP, "--out", str(out), *SHORT, *option]
    assert message in refused(given)
    assert not out.exists()


def test_images_without_labels_are_refused(model, images, tmp_path, refused):
    for split in ("train", "test"):
        for folder in (images / split).iterdir():
            for path in folder.iterdir():
                path.rename(images / split / f"{folder.name}-{path.name}")
            folder.rmdir()
    given = ["fine-tune-classifier", str(model), str(images), "--tap", TAP, "--out", str(tmp_path / "c")]
    assert "expected images with labels, got none" in refused(given)
