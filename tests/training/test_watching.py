"""What `unetdiff train` shows of a run beside its weights: records, pictures, trackers."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import tracking
from accelerate.utils import LoggerType

from unetdiff.cli.main import main
from unetdiff.data import DataConfig, prepare
from unetdiff.errors import InputError
from unetdiff.pictures import read_facts
from unetdiff.training.loop import Trainer
from unetdiff.training.preview import Shown
from unetdiff.training.records import NonFiniteRecord
from unetdiff.training.training_neighbours import TrainingNeighbours

YAML = """
steps: 4
batch_size: 8
num_workers: 0
log_every: 2
checkpoint_every: 2
model:
  in_channels: 1
  out_channels: 1
  num_classes: 10
  levels: [{channels: 8, depth: 1}, {channels: 8, depth: 1}]
  mid: {depth: 0}
preview: {every: 4, rows: 2, columns: 2, steps: 2}
validation: {every: 2, images: 4, sigmas: 2}
"""


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def options(tmp_path, fashion_mnist, out):
    """The arguments of a small run."""
    (tmp_path / "small.yaml").write_text(YAML)
    return ["train", "--config", str(tmp_path / "small.yaml"), "--out", str(out)]


def records(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_records_tell_their_kind_and_their_step(options, out, capsys):
    assert main(options) == 0
    found = records(out)
    assert [(one["kind"], one["step"]) for one in found] == [
        ("train", 2), ("validation", 2), ("train", 4), ("validation", 4), ("memorisation", 4),
    ]  # fmt: skip
    assert found[0]["peak_memory_mib"] > 0
    assert f"step 4, validation loss {found[3]['loss']['weights']:.4f} (weights)" in capsys.readouterr().err
    assert (found[4]["samples"], found[4]["memorised"]) == (4, 0)
    assert 0 < found[4]["held_out_distance"] < found[4]["nearest_distance"] < 1
    assert len(read_facts(out / "samples" / "step-0000004-neighbours.png")["neighbours"].split()) == 4


def test_going_on_repeats_no_record(options, out):
    main([*options, "--steps", "2"])
    main(options)
    assert [(one["kind"], one["step"]) for one in records(out) if one["kind"] != "memorisation"] == [
        ("train", 2), ("validation", 2), ("train", 4), ("validation", 4),
    ]  # fmt: skip


def test_a_source_without_a_test_part_is_said(options, out, folder, capsys):
    assert main([*options, "--data.source", str(folder("images", "ab")), "--preview.neighbours", "false"]) == 0
    assert "no validation: " in capsys.readouterr().err
    assert {one["kind"] for one in records(out)} == {"train"}


def test_samples_that_are_training_images_are_found(fashion_mnist, tmp_path):
    training, test = prepare(DataConfig()), prepare(DataConfig(split="test"))
    pixels = np.concatenate([training.images[[3, 250]], test.images[[1, 3]]])
    samples = torch.from_numpy(pixels.astype(np.float32)) / 127.5 - 1
    path, record = TrainingNeighbours(training, test, tmp_path).show(samples, step=7, columns=2)
    assert read_facts(path)["neighbours"].startswith("3 250 ")
    assert (record.step, record.samples, record.memorised) == (7, 4, 0.5)
    assert record.held_out_memorised < 0.1
    _, without = TrainingNeighbours(training, None, tmp_path).show(samples, step=7, columns=2)
    assert (without.held_out_memorised, without.held_out_distance, without.held_out_ratio) == (None, None, None)


class StandIn:
    """What accelerate uses of the packages wandb and trackio, remembering it."""

    def __init__(self):
        self.calls, self.config = [], {}
        self.Image = np.asarray

    def init(self, **options):
        self.calls.append(("init", options))
        return self

    def log(self, values, step):
        self.calls.append((step, values))

    def finish(self):
        self.calls.append(("finish", None))


@pytest.fixture(params=["wandb", "trackio"])
def tracker(request, monkeypatch):
    """A tracker's name, and what stands in for it."""
    package = StandIn()
    monkeypatch.setitem(sys.modules, request.param, package)
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType(request.param)])
    return SimpleNamespace(name=request.param, package=package)


def test_a_tracker_gets_records_and_goes_on_in_its_run(small_run, data, tracker):
    for steps in (3, 5):
        config = small_run(trackers=(tracker.name,), project="clothes", steps=steps)
        starts = [config.out / "checkpoints" / "step-0000003"] if steps == 5 else []
        Trainer(config, data, starts=starts).fit()
    calls = tracker.package.calls
    begins = [options for kind, options in calls if kind == "init"]
    assert len(begins) == 2
    assert begins[0] == begins[1]
    assert (begins[0]["project"], begins[0]["resume"]) == ("clothes", "allow")
    assert begins[0]["name"].startswith("run-")
    assert [step for step, _ in calls if isinstance(step, int)] == [1, 2, 3, 4, 5]
    logged = records(config.out)
    assert calls[1][1]["train/loss"] == logged[0]["loss"]
    assert "train/step" not in calls[1][1]
    assert calls[-1][0] == "finish"


def test_a_tracker_gets_the_numbers_of_a_step_that_broke_and_not_its_words(small_run, data, tracker):
    log = Trainer(small_run(trackers=(tracker.name,)), data)._log()
    log.add(NonFiniteRecord(step=1, action="skipped", found=None, images=2, samples=(3, 4), sigmas=(0.5, 0.6)))
    assert tracker.package.calls[-1] == (1, {"nonfinite/images": 2})


def test_a_new_run_has_a_name_of_its_own(small_run, data, tracker):
    for _ in range(2):
        Trainer(small_run(trackers=(tracker.name,), steps=3), data).fit()
    names = [options["name"] for kind, options in tracker.package.calls if kind == "init"]
    assert len(set(names)) == 2


def test_pictures_go_where_accelerate_can_take_them(small_run, fashion_mnist, data, tracker, options, out):
    main([*options, "--trackers", f"[{tracker.name}]"])
    shown = [values for _, values in tracker.package.calls if values and "samples" in values]
    assert len(shown) == (1 if tracker.name == "wandb" else 0)
    losses = [values for _, values in tracker.package.calls if values and "validation/loss/ema" in values]
    assert [values["validation/loss/ema"] for values in losses] == [
        one["loss"]["ema"] for one in records(out) if one["kind"] == "validation"
    ]


def test_a_preview_that_is_not_finite_is_black_and_told(options, out, capsys):
    """It is the policy for steps that decides what becomes of the run."""
    broken = ["--optimizer.lr", "1e20", "--optimizer.clip_norm", "null", "--preview.every", "1"]
    assert main([*options, *broken, "--on_nonfinite", "skip"]) == 0
    assert "4 of 4 samples are not finite and are left black" in capsys.readouterr().err
    assert (out / "samples" / "step-0000004.png").exists()


def test_tensorboard_drops_what_came_after_the_checkpoint(small_run, data):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = small_run(trackers=("tensorboard",), steps=4)
    Trainer(config, data).fit()
    start = config.out / "checkpoints" / "step-0000002"
    Trainer(config, data, preview=lambda *_: Shown(), starts=[start]).fit()
    events = EventAccumulator(str(config.out / "tensorboard" / "unetdiff")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4]


def test_a_tracker_that_is_not_installed_is_named(small_run, data, monkeypatch):
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.TENSORBOARD])
    with pytest.raises(InputError, match=r"trackers: expected installed ones, got wandb: `pip install"):
        Trainer(small_run(trackers=("tensorboard", "wandb")), data)
