"""Several processes make the same steps as one, up to rounding: noise belongs to the sample, not to the rank."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from tests.processes import share
from unetdiff.cli.main import main
from unetdiff.data import DataConfig, cache, prepare
from unetdiff.errors import InputError
from unetdiff.losses import EDMObjective, Uncertainty
from unetdiff.training.averages import PowerEMA
from unetdiff.training.config import ValidationConfig
from unetdiff.training.loop import Trainer
from unetdiff.training.processes import check_processes
from unetdiff.training.sample_order import sample_order

FILES = ("weights", "log_variance", "ema-0.05", "ema-0.1", "optimizer")


@pytest.fixture
def run(small_run, model):
    """Without dropout, whose masks are the process's own; Adam's eps is above the rounding of gradients near zero."""
    config = small_run(
        "one",
        model=replace(model, resnet=replace(model.resnet, dropout=0.0)),
        objective=EDMObjective(uncertainty=Uncertainty(channels=8)),
        ema=PowerEMA(snapshot_every=3),
        steps=5,
        checkpoint_every=1,
        keep_checkpoints=5,
        validation=ValidationConfig(every=2, images=5, sigmas=3),
    )
    return replace(config, optimizer=replace(config.optimizer, decay="none", eps=1e-4))


@pytest.fixture
def settings(run, tmp_path):
    """The options of `run`, in one place where the command can read them, for two processes."""
    values = {
        "out": str(tmp_path / "two"),
        "model": run.model.to_dict(),
        "objective": {"class_path": "EDMObjective", "init_args": {"uncertainty": {"channels": 8}}},
        "optimizer": {"lr": 1e-3, "eps": 1e-4, "warmup_steps": 2, "weight_decay": 0.01},
        "ema": {"class_path": "PowerEMA", "init_args": {"snapshot_every": 3}},
        "preview": {"every": 3, "rows": 1, "columns": 1, "steps": 1},
        "validation": {"every": 2, "images": 5, "sigmas": 3},
        **{name: getattr(run, name) for name in ("batch_size", "num_workers", "log_every", "seed", "checkpoint_every")},
    }
    (tmp_path / "two.yaml").write_text(json.dumps(values))
    return tmp_path / "two.yaml"


def metrics(folder, kind):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]


def assert_close(one, two):
    for name in FILES:
        expected, found = (load_file(folder / f"{name}.safetensors") for folder in (one, two))
        for key in ("exp_avg", "exp_avg_sq", ""):
            names = [tensor for tensor in expected if tensor.endswith(key)]
            scale = max([expected[tensor].abs().max() for tensor in names], default=0)
            for tensor in names:
                torch.testing.assert_close(found[tensor], expected[tensor], rtol=0, atol=float(scale) * 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("launch", ["ddp", "launched_fsdp"])
def test_one_process_then_two_then_one_equal_one(run, settings, data, tmp_path, launch, request):
    """Gradients, too: Adam's first moment is a mean of them."""
    held_out = prepare(DataConfig(split="test"))
    Trainer(run, data, held_out=held_out).fit()
    one, two = tmp_path / "one", tmp_path / "two"
    options = ["--config", str(settings), "--steps", "3", "--resume", str(one / "checkpoints" / "step-0000001")]
    request.getfixturevalue(launch)(options)
    Trainer(replace(run, out=two), data, starts=[two / "checkpoints" / "step-0000003"], held_out=held_out).fit()
    for step in (2, 3, 5):
        assert_close(*(folder / "checkpoints" / f"step-{step:07d}" for folder in (one, two)))
    for key in ("loss", "grad_norm", "lr"):
        expected = [line[key] for line in metrics(one, "train")[1:]]
        assert [line[key] for line in metrics(two, "train")] == pytest.approx(expected, rel=1e-5)
    validated, expected = (
        {(line["step"], name): loss for line in metrics(run, "validation") for name, loss in line["loss"].items()}
        for run in (two, one)
    )
    assert [step for step, name in validated if name == "weights"] == [2, 3, 4, 5]  # 3: its last step
    assert validated == pytest.approx({key: expected.get(key, validated[key]) for key in validated}, rel=1e-5)
    for folder in ("averages", "model/unet"):
        assert len({tuple(sorted(path.name for path in (out / folder).iterdir())) for out in (one, two)}) == 1
    assert (two / "samples" / "step-0000003.png").exists()


def train_telling(options):
    """Says what is packed."""
    pack = cache.pack

    def told(source, framing, folder):
        sys.stdout.write(f"packs {folder.name}\n")
        pack(source, framing, folder)

    cache.pack = told
    main(["train", *options])


@pytest.mark.slow
def test_one_process_packs_for_all(settings, tmp_path):
    said = share(train_telling, ["--config", str(settings), "--steps", "3", "--preview.every", "0"], tmp_path / "log")
    packed = [line.split()[-1] for line in said.splitlines() if line.startswith("packs")]
    assert len(packed) == len(set(packed)) == 2  # training and test images


@pytest.mark.parametrize("accumulation", [1, 2])
def test_order_and_noise_do_not_depend_on_processes_and_restarts(run, data, accumulation):
    expected = sample_order(run, data, [0], processes=1)
    assert len(set(expected)) == run.steps
    parted = replace(run, accumulation=accumulation)
    for processes in (1, 2, 4):
        assert sample_order(parted, data, [0, 2, 2, 3], processes) == expected


def test_a_batch_that_the_processes_cannot_share_is_refused(small_run, data, monkeypatch):
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 3)
    with pytest.raises(InputError, match=r"batch_size: expected a multiple of 6 \(accumulation x processes\), got 8"):
        Trainer(small_run(accumulation=2), data)


def test_processes_that_do_not_know_of_each_other_are_refused(small_run, data, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    with pytest.raises(InputError, match=r"processes: expected the 2 that were started, got 1; .*ACCELERATE_USE_CPU"):
        Trainer(small_run(), data)


def test_the_older_fsdp_is_refused():
    accelerator = SimpleNamespace(num_processes=2, distributed_type="FSDP", is_fsdp2=False)
    with pytest.raises(InputError, match="fsdp_version: expected 2 in accelerate's configuration, got 1"):
        check_processes(accelerator)
