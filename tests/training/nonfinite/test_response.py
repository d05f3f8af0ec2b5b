"""A run whose numbers break: what it says and keeps, and how it goes on."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from unetdiff.errors import InputError
from unetdiff.lora import LoraConfig
from unetdiff.model_folder import DataInfo, ModelInfo, save_model
from unetdiff.preconditioning import EDM
from unetdiff.training.averages import PowerEMA
from unetdiff.training.averages.snapshots import find_snapshots
from unetdiff.training.checkpoint import checkpoints
from unetdiff.training.loop import Trainer
from unetdiff.training.nonfinite import policies
from unetdiff.training.resume import starting_points
from unetdiff.training.run_comparison import compare_runs
from unetdiff.unet import UNet

INF = float("inf")


class Killed(BaseException):
    """Leaves the loop as a kill does."""


def broken_at(trainer, *steps, kill_before=None, name="conv_in.weight"):
    """Run to the end; the gradients of `steps` are not finite, however often they are computed."""
    weight, state = trainer.state.unet.get_parameter(name), trainer.state
    weight.register_hook(lambda gradient: gradient * INF if state.step in steps else gradient)
    plain = trainer.optimizer_step

    def killable(batches):
        if state.step == kill_before:
            raise Killed
        return plain(batches)

    killable.unwrap = plain.unwrap
    trainer.optimizer_step = killable
    trainer.fit()
    return trainer


def weights(trainer):
    return {name: tensor.clone() for name, tensor in trainer.state.unet.state_dict().items()}


def logged(trainer, kind="nonfinite"):
    records = [json.loads(line) for line in trainer.folder.metrics.read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]


def assert_same(one, other):
    for name, tensor in one.items():
        assert torch.equal(other[name], tensor), name


def test_a_stop_names_module_sample_and_sigma_and_makes_no_update(small_run, data):
    trainer = Trainer(small_run(), data)
    before = weights(trainer)
    with torch.no_grad():
        before["conv_out.bias"][:] = trainer.state.unet.conv_out.bias[:] = INF
    with pytest.raises(InputError) as error:
        trainer.fit()
    message = str(error.value)
    assert "first not finite is the output of conv_out (whose bias is not), in 8 of 8 images: samples 0 to 7" in message
    assert f"unetdiff replay {trainer.folder.root}/nonfinite/step-0000000; lower optimizer.lr" in message
    assert_same(before, weights(trainer))
    (event,) = logged(trainer)
    assert (event["step"], event["action"], event["samples"]) == (1, "stopped", list(range(8)))
    assert len(event["sigmas"]) == 8


@pytest.mark.parametrize("parts", [1, 4])
def test_one_image_is_found_in_its_part_of_the_batch(small_run, data, parts, monkeypatch):
    trainer = Trainer(small_run(accumulation=parts), data)
    stream = type(trainer.stream(parts))
    take = stream.__getitem__

    def poisoned(self, item):
        batch = take(self, item)
        batch.images[self.samples(item) == 21] = float("nan")
        return batch

    monkeypatch.setattr(stream, "__getitem__", poisoned)
    with pytest.raises(InputError, match=r"step 2: .* the values of images, in 1 of \d images: sample 21 at sigma "):
        trainer.fit()
    (folder,) = trainer.folder.nonfinite.iterdir()
    stored = load_file(folder / "batch.safetensors")
    assert stored["images"][stored["samples"] == 21].isnan().all()
    assert stored["images"][stored["samples"] != 21].isfinite().all()
    assert len(stored["sigma"]) == 8 // parts


def test_what_does_not_happen_again_is_said(small_run, data, monkeypatch):
    trainer = Trainer(small_run(), data)
    accumulate = trainer.optimizer_step._accumulate
    monkeypatch.setattr(trainer.optimizer_step, "_accumulate", lambda batches: accumulate(batches) * INF)
    with pytest.raises(InputError, match="run again, its batches give finite numbers"):
        trainer.fit()
    assert not trainer.folder.nonfinite.exists()


def test_skipping_leaves_out_that_update_alone(small_run, data, capsys):
    trainer = Trainer(small_run(on_nonfinite="skip"), data)
    step, batches = trainer.optimizer_step, trainer._batches()
    for made in (True, True, True, False, True, True):
        if made:
            step(batches)
        else:
            step._accumulate(batches)
            step.drop()
    run = broken_at(Trainer(small_run(on_nonfinite="skip"), data), 3)
    assert_same(weights(trainer), weights(run))
    assert [(one["step"], one["found"], one["images"]) for one in logged(run)] == [
        (4, "the gradient of conv_in.weight", 8)
    ]
    assert [line["step"] for line in logged(run, "train")] == [1, 2, 3, 5, 6]
    assert "skipped" in capsys.readouterr().err


def test_the_last_step_may_break_and_the_folder_is_complete(small_run, data):
    run = broken_at(Trainer(small_run(on_nonfinite="skip"), data), 5)
    assert checkpoints(run.folder.checkpoints)[-1].name == "step-0000006"
    assert (run.folder.model / "denoiser.json").exists()


def test_skipping_ends_and_keeps_three_folders(small_run, data, monkeypatch):
    monkeypatch.setattr(policies, "MOST", 4)
    trainer = Trainer(small_run(on_nonfinite="skip", steps=20), data)
    with pytest.raises(InputError, match="step 8: .*4 steps in a row were skipped before it"):
        broken_at(trainer, 2, *range(4, 20))
    assert sorted(path.name for path in trainer.folder.nonfinite.iterdir()) == [f"step-000000{n}" for n in (2, 4, 5)]
    assert checkpoints(trainer.folder.checkpoints)[-1].name == "step-0000004"  # none of a state that made no step


def test_rolling_back_goes_on_from_the_checkpoint_behind_the_broken_step(small_run, data):
    config = small_run(on_nonfinite="rollback", checkpoint_every=2)
    run = broken_at(Trainer(config, data), 3)
    other = Trainer(replace(config, out=config.out / "other"), data)
    batches = other._batches()
    for _ in range(2):
        other.optimizer_step(batches)
    other.state.step = 4
    batches = other._batches()
    for _ in range(2):
        other.optimizer_step(batches)
    assert_same(weights(other), weights(run))


@pytest.mark.parametrize("policy", ["skip", "rollback"])
@pytest.mark.parametrize("kill_before", [3, 5])
def test_a_kill_changes_nothing(small_run, data, policy, kill_before):
    whole = broken_at(Trainer(small_run("whole", on_nonfinite=policy), data), 3)
    config = small_run("killed", on_nonfinite=policy)
    with pytest.raises(Killed):
        broken_at(Trainer(config, data), 3, kill_before=kill_before)
    trainer = broken_at(Trainer(config, data, starts=starting_points(config.out / "checkpoints", "auto")), 3)
    assert_same(weights(whole), weights(trainer))
    assert [one.name for one in compare_runs(whole.folder, trainer.folder) if not one.equal] == []
    assert logged(trainer) == logged(whole) != []


def test_rolling_back_removes_the_averages_of_what_is_left_out(small_run, data):
    ema = PowerEMA(snapshot_every=1)
    run = broken_at(Trainer(small_run(on_nonfinite="rollback", checkpoint_every=2, ema=ema), data), 3)
    assert {snapshot.step for snapshot in find_snapshots(run.folder.averages)} == {1, 2, 4, 5, 6}


def test_a_learning_rate_that_is_far_too_high_ends_and_keeps_a_good_checkpoint(small_run, data, capsys, monkeypatch):
    monkeypatch.setattr(policies, "MOST", 3)
    optimizer = replace(small_run().optimizer, lr=1e20, warmup_steps=0)
    config = small_run(on_nonfinite="rollback", optimizer=optimizer, steps=20, checkpoint_every=3)
    trainer = Trainer(config, data)
    with pytest.raises(InputError, match="rolled back to step 0 3 times before"):
        trainer.fit()
    assert checkpoints(trainer.folder.checkpoints)[0].name == "step-0000000"
    assert "expected a state to go on from, got none; kept as" in capsys.readouterr().err


def test_weights_that_are_not_finite_are_not_saved(small_run, data):
    trainer = Trainer(small_run(), data)
    trainer.store.save()
    trainer.state.step = 2
    with torch.no_grad():
        trainer.state.unet.conv_in.bias.fill_(INF)
    trainer.store.save()
    assert [path.name for path in checkpoints(trainer.folder.checkpoints)] == ["step-0000000"]
    trainer.state.step = trainer.config.steps
    with pytest.raises(InputError, match="step 6: expected finite weights, got others; they were not saved"):
        trainer.store.save()


def test_a_dropped_step_leaves_fp16s_scaler_ready_for_the_next(small_run, data):
    step = Trainer(small_run(), data).optimizer_step
    scaler = step.state.scaler = step.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    parameter = step.state.unet.conv_in.weight
    for scale in (2.0, 1.0):
        parameter.grad = torch.full_like(parameter, INF)
        scaler.scale(torch.zeros(()))
        scaler.unscale_(step.state.optimizer)
        step.drop()
        assert scaler.get_scale() == scale


def test_the_batch_is_parted_as_memory_allowed(small_run, data):
    trainer = Trainer(small_run(on_nonfinite="skip"), data)

    def allocate(module, inputs):
        if len(inputs[0]) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    trainer.state.unet.conv_out.register_forward_pre_hook(allocate)
    trainer.fit_memory()
    run = broken_at(trainer, 1)
    assert [event["samples"] for event in logged(run)] == [[8, 9, 10, 11]]
    facts = json.loads((run.folder.nonfinite / "step-0000001" / "step.json").read_text())
    assert facts["factor"] == 0.5


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_adapters_break_and_go_on(small_run, data, model, tmp_path, policy):
    torch.manual_seed(1)
    info = ModelInfo(preconditioning=EDM(), data=DataInfo(channels=1, height=28, width=28))
    save_model(tmp_path / "base", UNet(model), info)
    lora = LoraConfig(rank=2, targets=("conv1",))
    config = small_run(init=str(tmp_path / "base"), lora=lora, on_nonfinite=policy)
    trainer = Trainer(config, data)
    name = next(name for name, parameter in trainer.state.unet.named_parameters() if parameter.requires_grad)
    run = broken_at(trainer, 3, name=name)
    assert [event["found"] for event in logged(run)] == [f"the gradient of {name}"]
    stored = load_file(run.folder.nonfinite / "step-0000003" / "weights.safetensors")
    assert stored.keys() == run.state.unet.state_dict().keys()  # with what is adapted: that folder may change
