"""`unetdiff train --dry-run`: what it says is what a run does, and the folder stays as it was."""

import os
import re
import time

import pytest

from unetdiff.cli.main import main
from unetdiff.training.averages import PowerEMA
from unetdiff.training.loop import Trainer
from unetdiff.training.plan import make_plan
from unetdiff.training.resume import starting_points

YAML = """
steps: 4
batch_size: 8
num_workers: 0
checkpoint_every: 2
accumulation: 2
model:
  in_channels: 1
  out_channels: 1
  num_classes: 10
  levels: [{channels: 8, depth: 1}, {channels: 8, depth: 1}]
  mid: {depth: 0}
preview: {every: 0}
"""


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def command(tmp_path, fashion_mnist):
    (tmp_path / "small.yaml").write_text(YAML)
    return ["train", "--config", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "run")]


def lines(text):
    return dict(re.findall(r"^(\w+) +(.*)$", text, flags=re.MULTILINE))


def test_it_shows_every_part_of_the_plan_and_writes_nothing(command, tmp_path, capsys):
    assert main([*command, "--dry-run"]) == 0
    shown = lines(capsys.readouterr().out)
    assert not (tmp_path / "run").exists()
    assert list(shown) == ["network", "data", "batch", "length", "start", "precision", "memory", "disk", "time"]
    assert shown["data"] == "fashion-mnist (train): 400 images of 28x28, 1 channel; 10 classes"
    assert shown["batch"] == "8 images = 1 (processes) x 2 (parts of a step) x 4 (images at a time)"
    assert shown["length"] == "4 steps = 32 images = 0.1 epochs"
    assert shown["start"] == "at the beginning"
    assert shown["precision"] == "float32 on cpu"
    assert re.fullmatch(
        r".* s a step, .* images/s; \d\d:\d\d for 4 of 4 steps, without previews and checkpoints", shown["time"]
    )


def test_it_tells_where_the_run_would_go_on_and_leaves_it(command, tmp_path, capsys):
    main([*command, "--steps", "3"])
    before = files(tmp_path / "run")
    capsys.readouterr()
    assert main([*command, "--dry-run"]) == 0
    shown = lines(capsys.readouterr().out)
    assert shown["start"] == f"at step 3, from {tmp_path}/run/checkpoints/step-0000003"
    assert shown["time"].endswith("for 1 of 4 steps, without previews and checkpoints")
    assert main([*command, "--steps", "3", "--dry-run"]) == 0
    assert lines(capsys.readouterr().out)["time"] == "none: all 3 steps are made"
    assert files(tmp_path / "run") == before
    assert "dry_run" not in (tmp_path / "run" / "config.yaml").read_text()


def test_it_refuses_what_the_run_would_refuse(command, tmp_path, refused):
    main(command)
    assert "seed was 0, is 1" in refused([*command, "--seed", "1", "--dry-run"])


def test_memory_is_counted_by_hand(small_run, data):
    trainer = Trainer(small_run(ema=PowerEMA(widths=(0.05, 0.1))), data)
    weights = 4 * sum(parameter.numel() for parameter in trainer.state.unet.parameters())
    tensors = len(list(trainer.state.unet.parameters()))
    memory = make_plan(trainer).memory
    assert (memory.weights, memory.gradients, memory.averages) == (weights, weights, 2 * weights)
    assert memory.optimizer == 2 * weights + 4 * tensors  # two moments, and a counter for each tensor


def test_activations_are_those_of_one_part(small_run, data):
    whole, halves = (make_plan(Trainer(small_run(accumulation=n), data)).probe.activations for n in (1, 2))
    assert halves == pytest.approx(whole / 2, rel=0.05)


def test_gradient_checkpointing_saves_what_it_is_for(small_run, data):
    plain, checkpointed = (
        make_plan(Trainer(small_run(gradient_checkpointing=on), data)).probe.activations for on in (False, True)
    )
    assert checkpointed < 0.6 * plain


def test_the_checkpoint_has_the_size_that_was_planned(small_run, data):
    plan = make_plan(Trainer(small_run(), data))
    trainer = Trainer(small_run(), data)
    trainer.fit()
    newest = starting_points(trainer.folder.checkpoints, "auto")[0]
    written = sum(path.stat().st_size for path in newest.glob("*.safetensors"))
    headers = 200 * sum(map(len, trainer.state.tensors().values()))
    assert 0 <= written - plan.checkpoint < headers


def test_the_time_is_that_of_the_last_step(small_run, data, monkeypatch):
    ticks = iter([0.0, 5.0, 10.0, 12.0])
    trainer = Trainer(small_run(), data)
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert make_plan(trainer).probe.step_seconds == 2.0


def test_free_space_is_that_of_the_nearest_folder_that_exists(small_run, data, tmp_path):
    assert make_plan(Trainer(small_run("not/made/yet"), data)).free > 0
    assert not os.path.exists(tmp_path / "not")
