"""`unetdiff attention` on a run of captions."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from unetdiff import UNet, load_model, save_model
from unetdiff.cli.main import main
from unetdiff.pictures import read_png

SAMPLED = ("--steps", "2", "--seeds", "0,4,7", "--guidance", "2", "--guidance_interval", "0,5")
"""Guidance acts in one of the calls, so that they have as many rows as images and twice as many."""


@pytest.fixture
def run(train):
    return train("--preview.every", "0", "--optimizer.lr", "0.03", "--ema.init_args.decay", "0.1")


@pytest.fixture
def attend(run, tmp_path):
    """Give a function that runs the command; returns the arrays of the first prompt."""

    def call(*options, out="attention"):
        assert main(["attention", str(run), "--out", str(tmp_path / out), "--npz", *SAMPLED, *options]) == 0
        with np.load(tmp_path / out / "prompt0000.npz") as arrays:
            return dict(arrays)

    return call


def test_the_maps_are_of_the_images_that_sample_makes(attend, run, tmp_path, capsys):
    capsys.readouterr()
    arrays = attend("--prompt", "a red shirt")
    assert main(["sample", str(run), "--prompt", "a red shirt", *SAMPLED, "--out", str(tmp_path / "sampled")]) == 0
    for seed, image in zip((0, 4, 7), arrays["images"], strict=True):
        assert np.array_equal(image, read_png(tmp_path / "sampled" / f"prompt0000-seed{seed:06d}.png"))
    assert arrays["seeds"].tolist() == [0, 4, 7]
    assert arrays["tokens"].tolist() == ["[CLS]", "a", "red", "shirt", "[SEP]"]
    images, tokens, *size = arrays["maps"].shape
    assert (images, size) == (3, [14, 14])
    assert tokens >= 5
    np.testing.assert_allclose(arrays["maps"].sum(axis=1), 1, atol=1e-5)

    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "a red shirt"
    name, *shares = printed[4].split()
    heat = arrays["maps"][:, 2]
    assert (name, shares) == ("red", [f"{share:.1%}" for share in (heat.mean(), heat.min(), heat.max())])
    with Image.open(tmp_path / "attention" / "prompt0000.png") as picture:
        assert picture.height > 6 * 28
        assert picture.text["prompt"] == "a red shirt"


def test_batches_make_no_difference(attend):
    whole, parts = attend("--prompt", "round bag"), attend("--prompt", "round bag", "--batch_size", "2", out="parts")
    np.testing.assert_allclose(whole["maps"], parts["maps"], atol=1e-5)


def test_a_picture_for_each_prompt(attend, tmp_path):
    (tmp_path / "prompts.txt").write_text("a red shirt\nround bag\n")
    attend("--prompts", str(tmp_path / "prompts.txt"))
    assert sorted(path.name for path in (tmp_path / "attention").glob("*.png")) == ["prompt0000.png", "prompt0001.png"]


def test_a_model_without_a_text_is_refused(refused):
    assert "model: expected one that attends to a text, got" in refused(["attention", "fashion-mnist"])


def test_a_network_that_does_not_attend_to_its_text_is_refused(run, tmp_path, refused):
    denoiser, info = load_model(run)
    config = denoiser.unet.config
    levels = tuple(replace(level, attention=None) for level in config.levels)
    save_model(tmp_path / "deaf", UNet(replace(config, levels=levels)), info)
    command = ["attention", str(tmp_path / "deaf"), "--prompt", "bag", "--out", str(tmp_path / "out")]
    assert "unet: expected a network with cross-attention, got 'one without'" in refused(command)
