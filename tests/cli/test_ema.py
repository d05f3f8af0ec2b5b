"""`unetdiff ema` on a run of `unetdiff train`: what is stored, and models of widths that are not."""

import shutil

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from unetdiff import load_model
from unetdiff.cli.main import main
from unetdiff.cli.train import parser, train_config
from unetdiff.training.averages import HalfLifeEMA, InversePowerEMA, PowerEMA, WarmupEMA

TRAIN = """
steps: 2
batch_size: 8
num_workers: 0
checkpoint_every: 0
model:
  in_channels: 1
  out_channels: 1
  num_classes: 10
  levels: [{channels: 8, depth: 1}, {channels: 8, depth: 1}]
  mid: null
optimizer: {lr: 1.0e-2}
preview: {every: 0}
"""
POWER = ["--ema", "PowerEMA", "--ema.widths", "[0.05, 0.1]", "--ema.model_width", "0.1"]


@pytest.fixture
def train(tmp_path, fashion_mnist, monkeypatch):
    """Give a function that runs the command with these options and returns the run folder."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")

    def run(*options):
        (tmp_path / "small.yaml").write_text(TRAIN)
        assert main(["train", "--config", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "run"), *options]) == 0
        return tmp_path / "run"

    yield run
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def trained(train):
    """A run of two steps that stored its averages after each."""
    return train(*POWER, "--ema.snapshot_every", "1")


def weights(model):
    return load_file(model / "unet" / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize(
    ("options", "ema"),
    [
        (["--ema", "WarmupEMA", "--ema.decay", "0.99"], WarmupEMA(decay=0.99)),
        (["--ema", "InversePowerEMA", "--ema.power", "0.75"], InversePowerEMA(power=0.75)),
        (["--ema", "HalfLifeEMA", "--ema.half_life", "500"], HalfLifeEMA(half_life=500)),
        (POWER, PowerEMA(widths=(0.05, 0.1), model_width=0.1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_average_can_be_asked_for(train, options, ema):
    run = train(*options)
    written = ["--config", str(run / "config.yaml")]
    assert train_config(parser().parse_args(written)).ema == ema
    checkpoint = run / "checkpoints" / "step-0000002"
    assert {path.stem for path in checkpoint.glob("ema*.safetensors")} == set(ema.names)
    model, chosen = weights(run / "model"), load_file(checkpoint / f"{ema.chosen}.safetensors")
    assert all(torch.equal(model[name], tensor) for name, tensor in chosen.items())


def test_the_list_says_what_is_stored(trained, capsys):
    capsys.readouterr()
    assert main(["ema", str(trained)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["1", "0.05,", "0.1", "float16"],
        ["2", "0.05,", "0.1", "float16"],
    ]


def test_a_stored_width_gives_the_stored_average(trained, tmp_path):
    out = tmp_path / "narrow"
    assert main(["ema", str(trained), "--width", "0.05", "--out", str(out)]) == 0
    stored = load_file(trained / "averages" / "step-0000002-width-0.05.safetensors")
    for name, tensor in weights(out).items():
        torch.testing.assert_close(tensor, stored[name].float(), rtol=0, atol=1e-6)


def test_a_width_that_was_not_stored_gives_a_model(trained, tmp_path, capsys):
    out = tmp_path / "between"
    capsys.readouterr()
    assert main(["ema", str(trained), "--width", "0.07", "--step", "1", "--out", str(out)]) == 0
    assert "width 0.07 after 1 steps, of 2 stored averages" in capsys.readouterr().out
    # After one step every average is the weights of that step.
    stored = load_file(trained / "averages" / "step-0000001-width-0.1.safetensors")
    for name, tensor in weights(out).items():
        torch.testing.assert_close(tensor, stored[name].float(), rtol=0, atol=1e-6)
    denoiser, info = load_model(out)
    assert denoiser(torch.zeros(1, 1, 28, 28), 1.0, class_labels=torch.tensor([3])).shape == (1, 1, 28, 28)
    assert info.training["optimiser steps"] == 1
    assert info.training["images"] == 8
    assert info.training["average"] == "power function of width 0.07, reconstructed"


def test_a_model_folder_can_be_replaced(trained, tmp_path):
    out = tmp_path / "again"
    for width in ("0.08", "0.05"):
        assert main(["ema", str(trained), "--width", width, "--out", str(out)]) == 0
    assert load_model(out)[1].training["average"] == "power function of width 0.05, reconstructed"


def test_bad_requests_are_refused_and_nothing_is_written(trained, tmp_path, refused):
    out = tmp_path / "out"
    for options, words in [
        (["--width", "0.08"], "expected both width and out, got only width"),
        (["--out", str(out)], "expected both width and out, got only out"),
        (["--width", "0.3", "--out", str(out)], "width: expected a width above 0 and below 0.2887, got 0.3"),
        (["--width", "-1", "--out", str(out)], "width: expected a width above 0"),
        (["--width", "wide", "--out", str(out)], "width"),
        (["--width", "0.08", "--out", str(out), "--step", "3"], "step: expected one from 1 to 2"),
        (["--width", "0.08", "--out", str(out), "--step", "0"], "step: expected one from 1 to 2"),
        (["--width", "0.08", "--out", str(trained)], "out: expected a new folder, or a model folder to replace"),
    ]:
        assert words in refused(["ema", str(trained), *options])
        assert not out.exists()
    assert not (trained / "unet").exists()


def test_a_run_without_a_model_yet_is_refused(trained, tmp_path, refused):
    shutil.rmtree(trained / "model")
    message = refused(["ema", str(trained), "--width", "0.08", "--out", str(tmp_path / "out")])
    assert f"{trained / 'model'}: " in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("folder", ["no/such/run", "."])
def test_a_folder_without_stored_averages_is_refused(folder, tmp_path, refused):
    message = refused(["ema", str(tmp_path / folder)])
    assert "expected a run folder with stored averages, got none" in message
    assert "ema.snapshot_every" in message
