"""Killed and resumed training equals uninterrupted training bit for bit, on one CPU process."""

import json
import signal

import pytest
import torch

from unetdiff.losses import EDMObjective, Uncertainty
from unetdiff.training.averages import PowerEMA
from unetdiff.training.checkpoint import checkpoints
from unetdiff.training.loop import Trainer
from unetdiff.training.resume import starting_points
from unetdiff.training.run_comparison import compare_runs


class Killed(BaseException):
    """Leaves the loop wherever it is, as a kill does: nothing may catch it and tidy up."""


def train(config, data, kill_after=None, signal_after=None):
    """Start or go on, as the command does; die after `kill_after` steps in all, or receive SIGTERM."""
    trainer = Trainer(config, data, starts=starting_points(config.out / "checkpoints", "auto"))
    step = trainer.optimizer_step

    def interrupted(batches):
        if trainer.state.step == kill_after:
            raise Killed
        if trainer.state.step == signal_after:
            signal.raise_signal(signal.SIGTERM)
        return step(batches)

    interrupted.unwrap = step.unwrap
    trainer.optimizer_step = interrupted
    finished = trainer.fit()
    return trainer, finished


def assert_same(trainer, reference):
    for file, tensors in reference.state.tensors().items():
        for key, tensor in tensors.items():
            assert torch.equal(trainer.state.tensors()[file][key], tensor), f"{file} {key}"


def logged(trainer):
    lines = [json.loads(line) for line in trainer.folder.metrics.read_text().splitlines()]
    return [(line["step"], line["loss"], line["lr"], line["grad_norm"]) for line in lines]


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("kill_after", [1, 3, 4, 5])
def test_a_kill_at_any_step_changes_nothing(small_run, data, parts, kill_after):
    reference, finished = train(small_run("whole", accumulation=parts), data)
    assert finished
    with pytest.raises(Killed):
        train(small_run("killed", accumulation=parts), data, kill_after=kill_after)
    trainer, finished = train(small_run("killed", accumulation=parts), data)
    assert finished
    assert_same(trainer, reference)
    assert logged(trainer) == logged(reference)


def test_the_learned_uncertainty_goes_on_with_the_rest(small_run, data):
    objective = EDMObjective(uncertainty=Uncertainty(channels=8))
    reference, _ = train(small_run("whole", objective=objective), data)
    assert (reference.state.tensors()["log_variance.safetensors"]["weight"] != 0).all()
    with pytest.raises(Killed):
        train(small_run("killed", objective=objective), data, kill_after=3)
    trainer, _ = train(small_run("killed", objective=objective), data)
    assert_same(trainer, reference)
    assert logged(trainer) == logged(reference)


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_change_nothing(small_run, data, workers):
    """They prefetch batches that a kill throws away."""
    reference, _ = train(small_run("whole", accumulation=2), data)
    settings = {"num_workers": workers, "accumulation": 2}
    with pytest.raises(Killed):
        train(small_run("workers", **settings), data, kill_after=3)
    trainer, _ = train(small_run("workers", **settings), data)
    assert_same(trainer, reference)
    assert logged(trainer) == logged(reference)


def test_the_number_of_workers_may_change(small_run, data):
    reference, _ = train(small_run("whole"), data)
    with pytest.raises(Killed):
        train(small_run("killed", num_workers=2), data, kill_after=3)
    trainer, _ = train(small_run("killed"), data)
    assert_same(trainer, reference)


def test_all_power_function_averages_go_on(small_run, data):
    averages = {"ema": PowerEMA(widths=(0.05, 0.1), snapshot_every=2), "accumulation": 4}
    reference, _ = train(small_run("whole", **averages), data)
    with pytest.raises(Killed):
        train(small_run("killed", **averages), data, kill_after=5)
    trainer, _ = train(small_run("killed", **averages), data)
    assert_same(trainer, reference)
    assert all(one.equal for one in compare_runs(reference.folder, trainer.folder))


def test_a_signal_ends_the_step_and_saves(small_run, data):
    reference, _ = train(small_run("whole"), data)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    trainer, finished = train(small_run("stopped"), data, signal_after=2)
    assert not finished
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert [path.name for path in checkpoints(trainer.folder.checkpoints)][-1] == "step-0000003"
    trainer, finished = train(small_run("stopped"), data)
    assert finished
    assert_same(trainer, reference)


def test_a_finished_run_has_nothing_to_do(small_run, data):
    reference, _ = train(small_run(), data)
    written = (reference.folder.model / "denoiser.json").stat().st_mtime_ns
    trainer, finished = train(small_run(), data)
    assert finished
    assert_same(trainer, reference)
    assert (trainer.folder.model / "denoiser.json").stat().st_mtime_ns == written


def test_seconds_go_on(small_run, data):
    with pytest.raises(Killed):
        train(small_run(), data, kill_after=4)
    trainer, _ = train(small_run(), data)
    lines = [json.loads(line) for line in trainer.folder.metrics.read_text().splitlines()]
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)
    assert len(set(seconds)) == len(seconds) == 6
