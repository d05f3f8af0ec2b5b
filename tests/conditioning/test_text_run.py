"""From captions to pictures of prompts, by the commands."""

import json
import shutil
from dataclasses import replace

import pytest

from tests.conditioning.conftest import CONTEXT, save_encoder
from unetdiff.cli.main import main
from unetdiff.conditioning.text_encoder import TextConfig, text_info
from unetdiff.pictures import read_png


def sample(run, *options):
    return main(["sample", str(run), "--steps", "2", "--seeds", "0-1", "--out", str(run / "out"), *options])


def test_train_and_sample_by_prompt(train, encoder):
    run = train("--preview.prompts", '["a red shirt"]', "--optimizer.lr", "0.03", "--ema.init_args.decay", "0.1")
    assert (run / "samples" / "step-0000003.png").is_file()
    described = json.loads((run / "model" / "denoiser.json").read_text())["text"]
    info = text_info(TextConfig(encoder=str(encoder), context=CONTEXT))
    assert described == {"encoder": str(encoder), "context": CONTEXT, "sha256": info.sha256}

    assert sample(run, "--prompts", "round bag", "--guidance", "4") == 0
    led = read_png(run / "out" / "prompt0000-seed000000.png")
    assert sample(run, "--prompts", "a red shirt", "--guidance", "4") == 0
    assert (read_png(run / "out" / "prompt0000-seed000000.png") != led).any()


def test_each_prompt_in_each_class(train):
    fast = ("--optimizer.lr", "0.03", "--ema.init_args.decay", "0.1", "--preview.every", "0")
    run = train("--model.num_classes", "10", *fast)
    assert sample(run, "--prompts", "round bag", "--classes", "0,7", "--guidance", "4") == 0
    shirt, sneaker = (read_png(run / "out" / f"prompt0000-class{label:04d}-seed000000.png") for label in (0, 7))
    assert (shirt != sneaker).any()


def test_the_encoder_may_have_moved_but_not_changed(train, tmp_path, encoder, refused):
    run = train()
    place = run / "model" / "denoiser.json"
    place.write_text(place.read_text().replace(str(encoder), "nowhere/at all"))
    command = ["sample", str(run), "--prompts", "bag", "--steps", "2", "--out", str(tmp_path / "out")]
    assert "nowhere/at all: a text encoder's folder or hub repository expected" in refused(command)
    other = save_encoder(tmp_path / "other", seed=1)
    assert "text encoder" in refused([*command, "--text-encoder", str(other)])
    assert not (tmp_path / "out").exists()
    moved = shutil.copytree(encoder, tmp_path / "moved")
    assert main([*command, "--text-encoder", str(moved), "--seeds", "0"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model.cross_attention_dim", "12"], "model.cross_attention_dim: expected 8, the width of"),
        (["--text", "null"], "text.encoder: expected a text encoder, as model.cross_attention_dim says, got None"),
        (["--model.vector_channels", "4"], "model.vector_channels: expected None as fashion-mnist, got 4"),
        (["--text.context", "20"], "context: 1 to 16 tokens expected"),
        (["--text.encoder", "no/such/folder"], "no/such/folder: a text encoder's folder or hub repository expected"),
        (["--preview.prompts", '["a a a a a a a"]'], "prompt 'a a a a a a a': at most 6 tokens expected, got 9"),
    ],
)
def test_what_does_not_fit_is_refused(train, refused, tmp_path, options, message, encoder):
    command = ["train", "--config", str(tmp_path / "text.yaml"), "--out", str(tmp_path / "run")]
    assert message in refused([*command, "--text.encoder", str(encoder), *options])
    assert not (tmp_path / "run").exists()


def test_a_source_without_captions_is_refused(train, captioned, monkeypatch, refused, tmp_path, encoder):
    monkeypatch.setattr("unetdiff.training.images.prepare", lambda config: replace(captioned, captions=None))
    command = ["train", "--config", str(tmp_path / "text.yaml"), "--out", str(tmp_path / "run")]
    assert "text: expected null, as fashion-mnist has no captions" in refused(
        [*command, "--text.encoder", str(encoder)]
    )
