"""Checkpoints on their own: what comes back, what is refused, what stays."""

import errno
import json
from dataclasses import replace

import pytest
import torch

from unetdiff.config import LevelConfig
from unetdiff.errors import InputError
from unetdiff.losses import EpsilonObjective
from unetdiff.training import checkpoint
from unetdiff.training.averages import WarmupEMA
from unetdiff.training.loop import Trainer
from unetdiff.training.resume import starting_point


@pytest.fixture
def trained(small_run, data):
    """A trainer two steps in, and the checkpoint of it."""
    trainer = Trainer(small_run(), data)
    batches = trainer._batches()
    for _ in range(2):
        trainer.optimizer_step(batches)
    return trainer, checkpoint.save(trainer.folder.checkpoints, trainer.state, trainer.identity)


@pytest.mark.parametrize("channels_last", [False, True])
def test_everything_comes_back_bitwise_in_the_layout_of_the_run(trained, small_run, data, channels_last):
    saved, path = trained
    other = Trainer(small_run("other", channels_last=channels_last), data)
    other.resume(path)
    assert (other.state.step, other.state.seconds) == (2, saved.state.seconds)
    for file, tensors in saved.state.tensors().items():
        restored = other.state.tensors()[file]
        assert restored.keys() == tensors.keys()
        for key, tensor in tensors.items():
            assert torch.equal(restored[key], tensor), key
    parameter = other.state.unet.conv_in.weight
    assert other.state.optimizer.state[parameter]["exp_avg"].stride() == parameter.stride()


def test_the_gradient_scale_of_fp16_comes_back(trained, small_run, data):
    saved, _ = trained
    saved.state.scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    path = checkpoint.save(saved.folder.checkpoints, saved.state, saved.identity)
    other = Trainer(small_run("other"), data)
    other.state.scaler = torch.amp.GradScaler("cpu")
    other.resume(path)
    assert other.state.scaler.get_scale() == 512.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: {"seed": 4}, "seed was 3, is 4"),
        (lambda run: {"batch_size": 16}, "batch_size was 8, is 16"),
        (lambda run: {"objective": EpsilonObjective()}, "objective.kind was EDMObjective, is EpsilonObjective"),
        (lambda run: {"data": replace(run.data, flip=True)}, "data.flip was False, is True"),
        (lambda run: {"optimizer": replace(run.optimizer, kind="adam")}, "optimizer.kind was adamw, is adam"),
        (
            lambda run: {"model": replace(run.model, levels=(run.model.levels[0], LevelConfig(channels=16, depth=1)))},
            "model.levels.1.channels was 8, is 16",
        ),
    ],
    ids=["seed", "batch", "objective", "data", "optimizer", "model"],
)
def test_a_run_that_differs_is_refused_by_the_name_of_the_field(trained, small_run, data, change, words):
    _, path = trained
    other = Trainer(replace(small_run(), **change(small_run())), data)
    with pytest.raises(InputError, match=words):
        other.resume(path)


def test_what_may_change_may_change(trained, small_run, data):
    run = small_run("other")
    _, path = trained
    changed = replace(
        run, steps=50, accumulation=4, ema=WarmupEMA(decay=0.9), optimizer=replace(run.optimizer, lr=1e-4)
    )
    other = Trainer(changed, data)
    other.resume(path)
    assert other.state.step == 2


@pytest.mark.parametrize("name", ["weights.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_file_is_named_and_nothing_is_restored(trained, small_run, data, name, damage):
    _, path = trained
    file = path / name
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-100])
    other = Trainer(small_run("other"), data)
    before = other.state.unet.conv_in.weight.clone()
    with pytest.raises(InputError, match=f"{path}/{name}: expected"):
        other.resume(path)
    assert torch.equal(other.state.unet.conv_in.weight, before)
    assert other.state.step == 0


def test_a_full_disk_keeps_the_old_checkpoint_and_says_so(trained, monkeypatch):
    trainer, path = trained

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    trainer.optimizer_step(trainer._batches())
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(InputError, match=rf"No space left on device.*{path} is intact"):
        trainer.store.save()
    monkeypatch.undo()
    assert checkpoint.checkpoints(path.parent) == [path]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    trainer.resume(path)
    assert trainer.state.step == 2


def test_only_the_newest_stay(trained):
    trainer, path = trained
    for step in (4, 10, 1_000_000, 20_000_000):
        trainer.state.step = step
        checkpoint.save(path.parent, trainer.state, trainer.identity)
    checkpoint.prune(path.parent, keep=2)
    assert [checkpoint.step_of(kept) for kept in checkpoint.checkpoints(path.parent)] == [1_000_000, 20_000_000]


def test_the_state_tells_versions_and_identity(trained):
    _, path = trained
    facts = json.loads((path / "state.json").read_text())
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["identity"]["model"]["levels"][0]["channels"] == 8


class TestStartingPoint:
    @pytest.fixture
    def folder(self, tmp_path):
        for step in (2, 10):
            (tmp_path / "mine" / f"step-{step:07d}").mkdir(parents=True)
        (tmp_path / "mine" / ".tmp-1-step-0000012").mkdir()
        (tmp_path / "other" / "step-0000030").mkdir(parents=True)
        return tmp_path / "mine"

    def test_auto_takes_the_newest_whole_one(self, folder):
        assert starting_point(folder, "auto") == folder / "step-0000010"
        assert starting_point(folder / "nothing", "auto") is None

    def test_never_needs_an_empty_folder(self, folder):
        assert starting_point(folder / "nothing", "never") is None
        with pytest.raises(InputError, match="step-0000010"):
            starting_point(folder, "never")

    def test_a_path_may_be_of_another_run(self, folder):
        other = folder.parent / "other" / "step-0000030"
        assert starting_point(folder, str(other)) == other

    def test_going_back_would_mix_two_runs(self, folder):
        with pytest.raises(InputError, match=r"without newer checkpoints, got .*step-0000010"):
            starting_point(folder, str(folder / "step-0000002"))

    @pytest.mark.parametrize("name", ["missing", "../other"])
    def test_what_is_no_checkpoint_is_refused(self, folder, name):
        with pytest.raises(InputError, match="expected"):
            starting_point(folder, str(folder / name))
