"""`unetdiff reproduce`: the same pixels from nothing but a PNG."""

import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from unetdiff.cli.main import main
from unetdiff.model_folder import weights_hash
from unetdiff.pictures import read_facts, read_png

NAME = "class0001-seed000003.png"


@pytest.fixture
def again(tmp_path, monkeypatch, capsys):
    """Give a function that reproduces a picture; returns what the command said."""
    monkeypatch.chdir(tmp_path)

    def run(image, *options):
        capsys.readouterr()
        assert main(["reproduce", str(image), *map(str, options)]) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--sampler", "dpmpp-2m-sde", "--guidance", "2", "--guidance-interval", "0.1,10"),
        ("--churn.S_churn", "1", "--restarts", "[{t_min: 0.1, t_max: 2, steps: 2}]", "--skip", "0.8"),
        ("--batch-size", "2", "--cache-interval", "2", "--threshold", "dynamic"),
    ],
    ids=["plain", "sde", "churn", "cache"],
)
def test_the_same_pixels(sample, again, tmp_path, options):
    image = sample("--seeds", "2-4", *options) / NAME
    assert again(image, "--out", tmp_path / "again.png") == f"{tmp_path / 'again.png'}: the same pixels\n"
    assert np.array_equal(read_png(tmp_path / "again.png"), read_png(image))
    assert read_facts(tmp_path / "again.png") == read_facts(image)


def test_without_a_name_it_lies_here(sample, again, tmp_path):
    again(sample("--seeds", "3") / NAME)
    assert (tmp_path / "class0001-seed000003-again.png").exists()


def test_a_picture_between_two_seeds_from_a_picture(sample, again, tmp_path):
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(8, 6)).save(tmp_path / "start.png")
    folder = sample("--classes", "0", "--seeds", "0-1", "--interpolate", "2", "--start", tmp_path / "start.png")
    image = folder / "class0000-seed000000-001of002-seed000001.png"
    assert "the same pixels" in again(image)
    Image.fromarray(np.zeros((8, 6), np.uint8)).save(tmp_path / "start.png")
    with pytest.raises(SystemExit):
        main(["reproduce", str(image)])


def test_a_changed_picture_is_told_from_the_original(sample, again, tmp_path):
    image = sample("--seeds", "3") / NAME
    texts, pixels = PngImagePlugin.PngInfo(), read_png(image).copy()
    for key, value in read_facts(image).items():
        texts.add_text(key, value)
    pixels[0, 0] ^= 128
    Image.fromarray(pixels[..., 0]).save(image, pnginfo=texts)
    assert "2.08% of the values differ, by 128 of 255 at most" in again(image)


def test_the_model_may_have_moved(sample, again, model, tmp_path):
    image = sample("--seeds", "3") / NAME
    moved = model.rename(tmp_path / "moved")
    try:
        assert "the same pixels" in again(image, "--model", moved)
    finally:
        moved.rename(model)


def test_other_weights_are_refused_with_both_hashes(sample, make_model, refused, model, tmp_path):
    image = sample("--seeds", "3") / NAME
    other = make_model(tmp_path / "other", seed=1)
    message = refused(["reproduce", str(image), "--model", str(other), "--out", str(tmp_path / "again.png")])
    assert weights_hash(model) in message
    assert weights_hash(other) in message
    assert not (tmp_path / "again.png").exists()


def test_a_picture_that_says_nothing_is_refused(refused, tmp_path):
    Image.fromarray(np.zeros((8, 6), np.uint8)).save(tmp_path / "photo.png")
    assert "a picture that says how it was made expected" in refused(["reproduce", str(tmp_path / "photo.png")])


@pytest.mark.parametrize(
    ("fact", "value", "message"),
    [("sampler", "hewn", "sampler: expected one of"), ("seed", "one", "seed"), ("made", {}, "made: expected")],
)
def test_a_fact_that_cannot_be_is_refused(sample, refused, fact, value, message):
    image = sample("--seeds", "3") / NAME
    texts = PngImagePlugin.PngInfo()
    for key, text in {**read_facts(image), fact: json.dumps(value)}.items():
        texts.add_text(key, text)
    Image.open(image).save(image, pnginfo=texts)
    assert message in refused(["reproduce", str(image)])
