"""Several processes make the same steps as one, up to rounding: noise belongs to the sample, not to the rank."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from unetdiff.errors import InputError
from unetdiff.losses import EDMObjective, Uncertainty
from unetdiff.training.loop import Trainer

TRAIN = Path(__file__).parents[2] / "train.py"


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_equal_one(small_run, data, model, tmp_path):
    config = small_run(
        "one",
        model=replace(model, resnet=replace(model.resnet, dropout=0.0)),
        objective=EDMObjective(uncertainty=Uncertainty(channels=8)),
        steps=3,
    )
    Trainer(config, data).fit()
    # The options of `config`, in one place where the command can read them.
    settings = {
        "out": str(tmp_path / "two"),
        "model": config.model.to_dict(),
        "objective": {"class_path": "EDMObjective", "init_args": {"uncertainty": {"channels": 8}}},
        "optimizer": {"lr": 1e-3, "warmup_steps": 2, "decay": "linear", "weight_decay": 0.01},
        "preview": {"every": 0},
        **{name: getattr(config, name) for name in ("steps", "batch_size", "num_workers", "log_every", "seed")},
    }
    (tmp_path / "two.yaml").write_text(json.dumps(settings))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(TRAIN)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, "--config", str(tmp_path / "two.yaml")], env=environment, check=True, capture_output=True)
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    assert [line["lr"] for line in two] == [line["lr"] for line in one]
    for key in ("loss", "grad_norm"):
        assert [line[key] for line in two] == pytest.approx([line[key] for line in one], rel=1e-4)


def test_a_batch_that_the_processes_cannot_share_is_refused(small_run, data, monkeypatch):
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 3)
    with pytest.raises(InputError, match=r"batch_size: expected a multiple of 6 \(accumulation x processes\), got 8"):
        Trainer(small_run(accumulation=2), data)
