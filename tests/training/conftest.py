"""A run small enough for a test: a real part of Fashion-MNIST, a network of two levels of eight channels."""

import gc
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from torch.nn.parallel import DistributedDataParallel

from tests.processes import ROOT, fsdp_environment, share
from tests.training import fsdp_on_cpu
from tests.training.fsdp_on_cpu import train_sharded
from unetdiff.cli.main import main
from unetdiff.config import LevelConfig, MidConfig, ResnetConfig, UNetConfig
from unetdiff.data import DataConfig, prepare
from unetdiff.training.config import OptimizerConfig, PreviewConfig, TrainConfig


@pytest.fixture(autouse=True)
def _cpu(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    yield
    AcceleratorState._reset_state(reset_partial_state=True)  # it is a singleton that remembers the precision


@pytest.fixture
def model():
    return UNetConfig(
        in_channels=1,
        out_channels=1,
        num_classes=10,
        levels=(LevelConfig(channels=8, depth=1), LevelConfig(channels=8, depth=1)),
        mid=MidConfig(depth=0),
        resnet=ResnetConfig(dropout=0.1),
    )


@pytest.fixture
def small_run(tmp_path, fashion_mnist, model):
    """Makes configurations: `small_run("name", batch_size=4)` writes into a folder of its own."""
    default = TrainConfig(
        out=tmp_path,
        data=DataConfig(source="fashion-mnist"),
        model=model,
        optimizer=OptimizerConfig(lr=1e-3, warmup_steps=2, decay="linear", weight_decay=0.01),
        preview=PreviewConfig(every=0),
        steps=6,
        batch_size=8,
        num_workers=0,
        log_every=1,
        checkpoint_every=2,
        seed=3,
    )
    return lambda name="run", **changes: replace(default, out=tmp_path / name, **changes)


@pytest.fixture
def data(fashion_mnist):
    return prepare(DataConfig(source="fashion-mnist"))


def train_and_part(options):
    """`unetdiff train` as on a machine without a GPU.

    It holds nothing that exchanges gradients when the processes part; see `Trainer._leave`.
    """
    del os.environ["ACCELERATE_USE_CPU"]
    torch.accelerator.is_available = lambda: False
    destroy = torch.distributed.destroy_process_group

    def watched(group):
        assert not [thing for thing in gc.get_objects() if type(thing) is DistributedDataParallel]
        destroy(group)

    torch.distributed.destroy_process_group = watched
    main(["train", *options])
    assert not torch.distributed.is_initialized()


@pytest.fixture
def ddp(tmp_path):
    """Trains with such options on two processes; gives what they said."""
    return lambda options: share(train_and_part, options, tmp_path / "log")


@pytest.fixture
def fsdp(tmp_path):
    """The same, where each process holds a part of the state."""
    return lambda options: share(train_sharded, options, tmp_path / "log", fsdp_environment())


@pytest.fixture
def launched_fsdp():
    """The same as people start it."""
    settings = ["--config_file", str(ROOT / "configs" / "fsdp.yaml"), "--main_process_port", "0"]
    launch = [sys.executable, "-m", "accelerate.commands.launch", *settings, fsdp_on_cpu.__file__]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return lambda options: subprocess.run([*launch, *options], env=environment, check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path):
    """Makes folders of images, one in each class."""

    def make(name, classes, side=8, seed=0):
        random = np.random.default_rng(seed)
        for label in classes:
            (tmp_path / name / label).mkdir(parents=True)
            pixels = random.integers(0, 256, (side, side), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / label / "image.png")
        return tmp_path / name

    return make
