"""`unetdiff sample` with the folder of a text-to-image pipeline."""

import json

import numpy as np
import pytest
from PIL import Image

from unetdiff.cli.main import main
from unetdiff.pictures import read_png

PIPELINES = ["StableDiffusionPipeline", "StableDiffusionXLPipeline"]


@pytest.fixture
def folder(bench, tmp_path):
    bench.pipeline(bench.theirs).save_pretrained(tmp_path / "pipeline")
    return tmp_path / "pipeline"


@pytest.fixture
def sample(folder, tmp_path):
    """Give a function that runs the command with two steps; returns the manifest's rows and the pictures by file."""

    def run(*options, out="out"):
        command = ["sample", str(folder), "--out", str(tmp_path / out), "--steps", "2", "--seeds", "0", *options]
        assert main(command) == 0
        rows = [json.loads(line) for line in (tmp_path / out / "manifest.jsonl").read_text().splitlines()]
        return rows, {row["file"]: read_png(tmp_path / out / row["file"]) for row in rows}

    return run


@pytest.mark.parametrize("bench", PIPELINES, indirect=True)
def test_an_image_for_every_prompt(sample, tmp_path):
    (tmp_path / "prompts.txt").write_text("a red fox\na tin can\n")
    rows, pictures = sample("--prompts", str(tmp_path / "prompts.txt"), "--guidance", "3")
    assert [(row["prompt"], row["prompt_text"]) for row in rows] == [(0, "a red fox"), (1, "a tin can")]
    fox, can = pictures.values()
    assert (fox != can).any()
    assert fox.shape[-1] == 3
    alone = sample("--prompt", "a tin can", "--guidance", "3", out="alone")[1]["prompt0000-seed000000.png"]
    assert np.abs(alone.astype(int) - can).max() <= 1


@pytest.mark.parametrize("bench", PIPELINES, indirect=True)
def test_a_negative_prompt_changes_the_image(sample):
    _, plain = sample("--prompt", "a red fox", "--guidance", "3")
    _, led = sample("--prompt", "a red fox", "--guidance", "3", "--negative-prompt", "a tin can")
    assert any((plain[name] != led[name]).any() for name in plain)


@pytest.mark.parametrize("bench", PIPELINES[:1], indirect=True)
def test_a_picture_is_changed_in_latents_and_made_again(sample, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)).save("start.png")
    mask = np.zeros((64, 64), np.uint8)
    mask[:32] = 255
    Image.fromarray(mask).save("mask.png")
    _, pictures = sample("--prompt", "a fox", "--start", "start.png", "--mask", "mask.png")
    assert len(pictures) == 1
    assert main(["reproduce", "out/prompt0000-seed000000.png"]) == 0
    assert "the same pixels" in capsys.readouterr().out


@pytest.mark.parametrize("bench", PIPELINES[:1], indirect=True)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "prompt: a text expected for"),
        (["--prompt", "a fox", "--classes", "0"], "classes: a model with classes expected"),
        (["--prompt", "a fox", "--threshold", "clamp"], "threshold: a model of pixels expected"),
        (["--prompt", "a fox " * 20], "at most 12 tokens expected"),
    ],
)
def test_what_does_not_fit_is_refused(folder, refused, options, message, tmp_path):
    assert message in refused(["sample", str(folder), "--out", str(tmp_path / "out"), "--seeds", "0", *options])


@pytest.mark.parametrize("bench", PIPELINES, indirect=True)
def test_attention_maps_of_the_same_images(sample, folder, tmp_path):
    _, pictures = sample("--prompt", "a red fox", "--guidance", "3")
    command = ["attention", str(folder), "--prompt", "a red fox", "--guidance", "3", "--steps", "2", "--seeds", "0"]
    assert main([*command, "--npz", "--out", str(tmp_path / "attention")]) == 0
    with np.load(tmp_path / "attention" / "prompt0000.npz") as arrays:
        assert np.array_equal(arrays["images"][0], pictures["prompt0000-seed000000.png"])
        np.testing.assert_allclose(arrays["maps"].sum(axis=1), 1, atol=1e-5)
