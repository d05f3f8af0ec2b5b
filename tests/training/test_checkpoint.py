"""Checkpoints on their own: what comes back, what is refused, what stays."""

import errno
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from unetdiff.config import LevelConfig
from unetdiff.errors import InputError
from unetdiff.losses import EpsilonObjective
from unetdiff.training import checkpoint
from unetdiff.training.averages import WarmupEMA
from unetdiff.training.loop import Trainer
from unetdiff.training.resume import restore_newest, starting_points


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
    other = Trainer(small_run("other", channels_last=channels_last), data, starts=[path])
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
    other.store.restore(path)
    assert other.state.scaler.get_scale() == 512.0


@pytest.mark.parametrize("before", [None, torch.amp.GradScaler("cpu", enabled=False)], ids=["without", "disabled"])
def test_a_run_may_change_to_fp16(trained, small_run, data, before):
    saved, _ = trained
    saved.state.scaler = before
    path = checkpoint.save(saved.folder.checkpoints, saved.state, saved.identity)
    other = Trainer(small_run("other"), data)
    other.state.scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    other.store.restore(path)
    assert other.state.step == 2
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
    with pytest.raises(InputError, match=words):
        Trainer(replace(small_run(), **change(small_run())), data, starts=[path])


def test_what_may_change_may_change(trained, small_run, data):
    run = small_run("other")
    _, path = trained
    changed = replace(
        run, steps=50, accumulation=4, ema=WarmupEMA(decay=0.9), optimizer=replace(run.optimizer, lr=1e-4)
    )
    other = Trainer(changed, data, starts=[path])
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
        other.store.restore(path)
    assert torch.equal(other.state.unet.conv_in.weight, before)
    assert other.state.step == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": 3}, "state.json: .*step: expected 2, as the folder says, got 3"),
        ({"step": "2"}, "state.json: .*step: expected a value of type int"),
        ({"identity": None}, "state.json: .*identity: expected a mapping"),
        ({"scaler": {"scale": 2.0}}, "state.json: .*scaler: expected numbers like"),
    ],
)
def test_a_state_that_cannot_be_this_runs_is_damage(trained, change, words):
    saved, path = trained
    saved.state.scaler = torch.amp.GradScaler("cpu")
    facts = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**facts, **change}))
    with pytest.raises(checkpoint.DamagedCheckpointError, match=words):
        saved.store.restore(path)


@pytest.mark.parametrize("change", [lambda weight: weight[:1], lambda weight: weight.int()], ids=["shape", "type"])
def test_tensors_of_another_kind_are_damage(trained, change):
    saved, path = trained
    weights = load_file(path / "weights.safetensors")
    weights["conv_in.weight"] = change(weights["conv_in.weight"])
    save_file(weights, path / "weights.safetensors")
    with pytest.raises(checkpoint.DamagedCheckpointError, match=r"weights.safetensors: expected the tensors of this"):
        saved.store.restore(path)


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
    trainer.store.restore(path)
    assert trainer.state.step == 2


def test_only_the_newest_stay(trained):
    trainer, path = trained
    for step in (4, 10, 1_000_000, 20_000_000):
        trainer.state.step = step
        checkpoint.save(path.parent, trainer.state, trainer.identity)
    checkpoint.prune(path.parent, keep=2)
    assert sorted(kept.name for kept in path.parent.iterdir()) == ["step-1000000", "step-20000000"]


def test_a_kill_while_pruning_leaves_no_part_under_a_checkpoints_name(trained, monkeypatch):
    trainer, path = trained
    trainer.state.step = 4
    newest = checkpoint.save(path.parent, trainer.state, trainer.identity)
    monkeypatch.setattr("shutil.rmtree", lambda folder: (folder / "weights.safetensors").unlink())
    checkpoint.prune(path.parent, keep=1)
    assert checkpoint.checkpoints(path.parent) == [newest]


def test_weights_that_are_not_finite_are_no_state_to_go_on_from(trained, small_run, data):
    trainer, path = trained
    with torch.no_grad():
        trainer.state.unet.conv_in.bias[0] = float("inf")
    checkpoint.save(path.parent, trainer.state, trainer.identity)
    with pytest.raises(InputError, match=r"step-0000002: expected finite weights, got others in conv_in\.bias"):
        Trainer(small_run("other"), data, starts=[path])


def test_the_state_tells_versions_and_identity(trained):
    _, path = trained
    facts = json.loads((path / "state.json").read_text())
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["identity"]["model"]["levels"][0]["channels"] == 8


class TestRestoreNewest:
    """Of the checkpoints 2, 4 and 6, those of `damaged` cannot be restored."""

    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("step-0000002", "step-0000004", "step-0000006", "damaged-step-0000009"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "state.json").write_text("{}")
        return tmp_path

    def restored(self, folder, damaged, foreign=()):
        def restore(path):
            if checkpoint.step_of(path) in damaged:
                raise checkpoint.DamagedCheckpointError(f"{path}: damaged")
            if checkpoint.step_of(path) in foreign:
                raise InputError("another run")

        return restore_newest(starting_points(folder, "auto"), restore)

    def names(self, folder):
        return sorted(path.name for path in folder.iterdir())

    def test_the_newest_whole_one_is_taken_and_the_others_are_named_and_put_aside(self, folder, capsys):
        start = self.restored(folder, damaged={4, 6})
        assert start.checkpoint == folder / "step-0000002"
        start.put_damaged_aside()
        assert self.names(folder) == ["damaged-step-0000004", "damaged-step-0000006", "step-0000002"]
        said = capsys.readouterr().err
        assert f"{folder}/step-0000006: damaged; kept as {folder}/damaged-step-0000006, going on from" in said

    def test_whole_ones_stay_as_they_are(self, folder, capsys):
        before = self.names(folder)
        start = self.restored(folder, damaged={2})
        assert start.checkpoint == folder / "step-0000006"
        start.put_damaged_aside()
        assert self.names(folder) == before
        assert capsys.readouterr().err == ""

    def test_a_process_that_looks_afterwards_decides_the_same(self, folder):
        first = self.restored(folder, damaged={6})
        first.put_damaged_aside()
        assert self.restored(folder, damaged=set()).checkpoint == first.checkpoint == folder / "step-0000004"

    @pytest.mark.parametrize(("damaged", "foreign"), [({2, 4, 6}, set()), ({6}, {4})])
    def test_where_none_is_whole_nothing_starts_anew(self, folder, damaged, foreign):
        before = self.names(folder)
        with pytest.raises(InputError, match="another run" if foreign else r"0000006: damaged; .*0000002: damaged"):
            self.restored(folder, damaged=damaged, foreign=foreign)
        assert self.names(folder) == before


class TestStartingPoint:
    @pytest.fixture
    def folder(self, tmp_path):
        for step in (2, 10):
            (tmp_path / "mine" / f"step-{step:07d}").mkdir(parents=True)
        (tmp_path / "mine" / ".tmp-1-step-0000012").mkdir()
        (tmp_path / "other" / "step-0000030").mkdir(parents=True)
        return tmp_path / "mine"

    def test_auto_prefers_the_newest(self, folder):
        assert starting_points(folder, "auto") == [folder / "step-0000010", folder / "step-0000002"]
        assert starting_points(folder / "nothing", "auto") == []

    def test_never_needs_an_empty_folder(self, folder):
        assert starting_points(folder / "nothing", "never") == []
        with pytest.raises(InputError, match="step-0000010"):
            starting_points(folder, "never")

    def test_a_path_may_be_of_another_run(self, folder):
        other = folder.parent / "other" / "step-0000030"
        assert starting_points(folder, str(other)) == [other]

    def test_going_back_would_mix_two_runs(self, folder):
        with pytest.raises(InputError, match=r"without newer checkpoints, got .*step-0000010"):
            starting_points(folder, str(folder / "step-0000002"))

    @pytest.mark.parametrize("name", ["missing", "../other"])
    def test_what_is_no_checkpoint_is_refused(self, folder, name):
        with pytest.raises(InputError, match="expected"):
            starting_points(folder, str(folder / name))
