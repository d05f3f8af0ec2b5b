"""`unetdiff train` from the outside: options, files, bad input, exit statuses."""

import json
import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.processes import Forked
from unetdiff import load_model
from unetdiff.cli import train
from unetdiff.cli.main import main
from unetdiff.training import checkpoint
from unetdiff.training.step import OptimizerStep

TRAIN = Path(__file__).parents[2] / "train.py"

YAML = """
steps: 4
batch_size: 8
num_workers: 0
log_every: 1
checkpoint_every: 2
seed: 3
model:
  in_channels: 1
  out_channels: 1
  num_classes: 10
  levels: [{channels: 8, depth: 1}, {channels: 8, depth: 1}]
  mid: {depth: 0}
  resnet: {dropout: 0.1}
objective: {class_path: EDMObjective, init_args: {P_mean: -1.0}}
preview: {every: 0}
validation: {every: 0}
"""


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def options(tmp_path, fashion_mnist, out):
    """The arguments of a small run."""
    (tmp_path / "small.yaml").write_text(YAML)
    return ["train", "--config", str(tmp_path / "small.yaml"), "--out", str(out)]


def weights(out):
    return load_file(checkpoint.checkpoints(out / "checkpoints")[-1] / "weights.safetensors")


def losses(out):
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def parsed(*arguments):
    return train.train_config(train.parser().parse_args(arguments))


def test_a_run_leaves_a_complete_folder(options, out):
    assert main([*options, "--preview.every", "2", "--preview.columns", "2", "--preview.steps", "2"]) == 0
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    state = ("weights.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json")
    assert files == {
        "config.yaml",
        "metrics.jsonl",
        *(f"samples/step-000000{step}{kind}.png" for step in (2, 4) for kind in ("", "-neighbours")),
        *(f"checkpoints/step-000000{step}/{name}" for step in (2, 4) for name in state),
        *(f"model/{name}" for name in ("README.md", "denoiser.json", "unet/config.json")),
        "model/unet/diffusion_pytorch_model.safetensors",
    }
    denoiser, info = load_model(out)
    ema = load_file(out / "checkpoints" / "step-0000004" / "ema.safetensors")
    for name, tensor in denoiser.unet.state_dict().items():
        assert torch.equal(tensor, ema[name])
    assert (info.data.shape, info.data.classes[9], info.training["images"]) == ((1, 28, 28), "Ankle boot", 32)


def test_the_written_config_repeats_the_run(options, out, tmp_path):
    changes = ["--optimizer.clip_norm", "null", "--model.mid", "null", "--objective.P_std", "1.5", "--resume", "never"]
    main([*options, *changes])
    repeated = parsed("--config", str(out / "config.yaml"))
    assert repeated == parsed(*options[1:], *changes)
    assert repeated.optimizer.clip_norm is None
    assert repeated.model.mid is None
    assert (repeated.objective.P_mean, repeated.objective.P_std) == (-1.0, 1.5)
    again = tmp_path / "again"
    main(["train", "--config", str(out / "config.yaml"), "--out", str(again)])
    for name, tensor in weights(out).items():
        assert torch.equal(weights(again)[name], tensor)


@pytest.mark.parametrize("name", ["fashion-mnist", "ddpm-fashion-mnist"])
def test_the_configurations_that_come_with_the_code_are_valid(name):
    assert parsed("--config", str(TRAIN.parent / "configs" / f"{name}.yaml")).out == Path("runs") / name


def test_print_config_shows_everything(options, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([*options, "--print_config"])
    assert exit_.value.code == 0
    assert "warmup_steps: 0" in capsys.readouterr().out


def test_the_objective_is_chosen_by_its_name(options):
    config = parsed(*options[1:], "--objective", "EpsilonObjective", "--objective.schedule.kind", "cosine")
    assert config.objective.schedule.kind == "cosine"


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--learning_rate", "1"], "--learning_rate"),
        (["--model.breadth", "1"], "--model.breadth"),
        (["--optimizer.lr", "fast"], "optimizer.lr"),
        (["--optimizer.lr", "-1"], "optimizer.lr: expected a positive number, got -1"),
        (["--optimizer.warmup_steps", "9"], "optimizer.warmup_steps: expected fewer than the run's 4 steps, got 9"),
        (["--accumulation", "3"], "accumulation: expected a divisor of batch_size 8, got 3"),
        (["--objective.P_std", "0"], "objective.P_std: expected a positive number, got 0"),
        (["--model.num_classes", "5"], "model.num_classes: expected labels 0 to 9 of fashion-mnist, got 5"),
        (["--model.in_channels", "3"], "model.in_channels: expected the 1 of fashion-mnist, got 3"),
        (["--model.sample_size", "[32,32]"], "model.sample_size: expected the (28, 28) of fashion-mnist, got (32, 32)"),
        (["--data.source", "no/such/folder"], "no/such/folder"),
        (["--mixed_precision", "fp16"], "mixed_precision: expected what a cpu can do, got fp16"),
        (["--resume", "no/such/checkpoint"], "no/such/checkpoint"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_settings_are_named_and_nothing_is_written(options, out, extra, words, refused):
    assert words in refused([*options, *extra])
    assert not out.exists()


@pytest.mark.parametrize(
    ("line", "word"), [("stepz: 3", "stepz"), ("ema: {decays: 1}", "ema"), ("steps: [", "parsing config")]
)
def test_a_bad_config_file_is_refused(options, out, tmp_path, line, word, refused):
    (tmp_path / "small.yaml").write_text(YAML + line)
    assert word in refused(options)
    assert not out.exists()


def test_labels_that_are_missing_are_refused(options, tmp_path, refused):
    np.save(tmp_path / "images.npy", np.zeros((20, 28, 28, 1), np.uint8))
    message = refused([*options, "--data.source", str(tmp_path / "images.npy")])
    assert "model.num_classes: expected null, as" in message


def test_an_out_that_cannot_be_written_is_refused(options, tmp_path, refused):
    (tmp_path / "file").write_text("")
    message = refused([*options, "--out", str(tmp_path / "file" / "run")])
    assert f"out: expected a folder that can be written, got {tmp_path}/file/run" in message


def test_going_on_with_another_model_is_refused_and_the_run_stays(options, out, refused):
    main(options)
    before = (out / "config.yaml").read_text()
    message = refused([*options, "--model.levels", "[{channels: 16, depth: 1}, {channels: 8, depth: 1}]"])
    assert "model.levels.0.channels was 8, is 16" in message
    assert (out / "config.yaml").read_text() == before


def test_a_truncated_checkpoint_is_named_and_the_one_before_it_leads_to_the_same_weights(options, out, capsys):
    main(options)
    before = weights(out)
    file = checkpoint.checkpoints(out / "checkpoints")[-1] / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    main(options)
    said = capsys.readouterr().err
    assert f"{file}: expected a whole safetensors file" in said
    assert f"going on from {out}/checkpoints/step-0000002\n" in said
    for name, tensor in before.items():
        assert torch.equal(weights(out)[name], tensor)


def test_a_checkpoint_that_was_named_has_no_substitute(options, out, tmp_path, refused):
    main(options)
    file = out / "checkpoints" / "step-0000004" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    message = refused([*options, "--out", str(tmp_path / "other"), "--resume", str(file.parent)])
    assert f"{file}: expected a whole safetensors file" in message
    assert not (tmp_path / "other").exists()


def test_a_full_disk_keeps_the_last_checkpoint(options, out, refused):
    """The limit on the size of files makes the writers fail as a full disk does: half-way, in the kernel."""
    main([*options, "--steps", "2"])
    before = weights(out)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        message = refused(options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "step 4: expected room for a checkpoint" in message
    assert f"{out}/checkpoints/step-0000002 is intact" in message
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-0000002"]
    for name, tensor in before.items():
        assert torch.equal(weights(out)[name], tensor)
    assert main(options) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_tells_how_to_go_on(options, out, monkeypatch, number, capsys):
    step = OptimizerStep.__call__

    def signalled(self, batches):
        signal.raise_signal(number)
        return step(self, batches)

    monkeypatch.setattr(OptimizerStep, "__call__", signalled)
    with pytest.raises(SystemExit) as exit_:
        main(options)
    assert exit_.value.code == 130
    assert f"train.py --config {out}/config.yaml" in capsys.readouterr().err
    assert [path.name for path in checkpoint.checkpoints(out / "checkpoints")] == ["step-0000001"]


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "status"), [("numbers", 2), ("code", 1)])
def test_a_training_that_fails_ends_though_workers_ignore_signals(options, tmp_path, broken, status):
    end = [end_by_a_defect, main][broken == "numbers"]
    options = [*options[1:], "--num_workers", "1", "--optimizer.lr", "1e20", "--optimizer.clip_norm", "null"]
    process = Forked(end, ["train", *options, "--steps", "20"], os.environ, tmp_path / "said")
    try:
        assert process.wait() == status, (tmp_path / "said").read_text()
    finally:
        process.kill()


def end_by_a_defect(arguments):
    """The traceback is kept, as in a program's own end, and with it all that the frames hold."""

    def broken(self, batches):
        next(batches)
        raise RuntimeError("a defect")

    OptimizerStep.__call__ = broken
    main(arguments)


@pytest.mark.slow
def test_sigkill_and_going_on_equal_an_uninterrupted_run(options, out, tmp_path):
    options = [*options[1:], "--steps", "20", "--checkpoint_every", "1", "--accumulation", "2", "--num_workers", "1"]
    whole = tmp_path / "whole"
    main(["train", *options, "--out", str(whole)])
    said = tmp_path / "said"
    said.touch()
    process = Forked(main, ["train", *options], os.environ, said)
    while "step 5/20" not in said.read_text():
        assert process.poll() is None, said.read_text()
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert checkpoint.step_of(checkpoint.checkpoints(out / "checkpoints")[-1]) < 20
    main(["train", *options])
    for name, tensor in weights(whole).items():
        assert torch.equal(weights(out)[name], tensor), name
    assert losses(out) == losses(whole)
