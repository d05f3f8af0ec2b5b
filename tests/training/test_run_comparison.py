"""Two finished runs: equal is equal, and the smallest difference is found."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from unetdiff.training.averages import PowerEMA
from unetdiff.training.loop import Trainer
from unetdiff.training.run_comparison import compare_runs

LAST = "checkpoints/step-0000003"


@pytest.fixture
def runs(small_run, data):
    """The folders of two runs with the same configuration."""
    trainers = [Trainer(small_run(name, ema=PowerEMA(snapshot_every=2), steps=3), data) for name in ("one", "two")]
    for trainer in trainers:
        trainer.fit()
    return [trainer.folder for trainer in trainers]


def different(runs):
    return [(one.name, one.difference) for one in compare_runs(*runs) if not one.equal]


def change_tensor(path, change):
    tensors = load_file(path)
    name = sorted(tensors)[-1]
    tensors[name] = change(tensors[name])
    save_file(tensors, path)


def change_state(root, **facts):
    path = root / LAST / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def change_metrics(root, change):
    path = root / "metrics.jsonl"
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def test_two_runs_of_the_same_are_equal(runs):
    assert different(runs) == []
    names = [one.name for one in compare_runs(*runs)]
    assert names[:4] == ["ema-0.05", "ema-0.1", "optimizer", "weights"]
    assert names[-4:] == ["snapshots", "loss of each step", "grad_norm of each step", "lr of each step"]


@pytest.mark.parametrize("name", ["weights", "optimizer", "ema-0.1"])
def test_a_single_bit_is_found(runs, name):
    change_tensor(runs[1].root / LAST / f"{name}.safetensors", lambda tensor: tensor.nextafter(torch.tensor(9.0)))
    [(found, difference)] = different(runs)
    assert found == name
    assert 0 < difference < 1e-6


def test_a_zero_with_another_sign_is_found(runs):
    for run, zero in zip(runs, (0.0, -0.0), strict=True):
        change_tensor(run.root / LAST / "weights.safetensors", lambda tensor, zero=zero: torch.full_like(tensor, zero))
    assert different(runs) == [("weights", 0.0)]


def test_steps_that_broke_at_another_noise_level_are_found(runs):
    for run, sigma in zip(runs, (2.0, 1.0), strict=True):
        event = json.dumps({"kind": "nonfinite", "step": 2, "images": 1, "sigmas": [sigma]})
        change_metrics(run.root, lambda lines, event=event: [*lines, f"{event}\n"])
    assert different(runs) == [("images and sigmas of broken steps", 0.5)]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda root: (root / LAST / "ema-0.05.safetensors").unlink(), "ema-0.05"),
        (lambda root: next((root / "averages").iterdir()).unlink(), "snapshots"),
        (lambda root: change_state(root, scaler={"scale": 2.0}), "step, gradient scale"),
        (lambda root: change_metrics(root, lambda lines: lines[:-1]), "loss of each step"),
        (lambda root: change_metrics(root, lambda lines: [*lines, lines[-1]]), "loss of each step"),
    ],
)
def test_what_is_missing_or_twice_is_infinitely_far(runs, change, name):
    change(runs[1].root)
    assert different(runs)[0] == (name, torch.inf)
