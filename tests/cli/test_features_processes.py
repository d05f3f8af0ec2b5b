"""Several processes extract the features of every image exactly once, and the same bits as a single process."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.processes import share
from unetdiff.cli import device
from unetdiff.cli.main import main
from unetdiff.features import sweep


def extract(arguments):
    sweep.SHARD_IMAGES = 5
    main(arguments)


@pytest.mark.slow
def test_two_processes_share_the_files(model, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "SHARD_IMAGES", 5)
    images = np.random.default_rng(0).integers(0, 256, (23, 8, 6), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(23) % 3)
    arguments = ["features", str(model), str(tmp_path / "images.npz"), "--splits", "train", "--device", "cpu"]
    one, two = tmp_path / "one" / "train", tmp_path / "two" / "train"
    assert main([*arguments, "--out", str(one.parent)]) == 0
    output = share(extract, [*arguments, "--out", str(two.parent)], tmp_path / "log")
    assert output.count("23 of 23 images done") == 1
    files = sorted(path.name for path in one.iterdir())
    assert files == sorted(path.name for path in two.iterdir())
    assert len(files) == 5 + 2
    for name in files:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.usefixtures("fashion_mnist")
def test_two_processes_share_a_sweep(tmp_path):
    options = ["--nodes", "conv_in", "--sigmas", "0.1", "--head", "knn", "--baselines", "--device", "cpu"]
    output = share(main, ["sweep", "fashion-mnist", *options, "--out", str(tmp_path / "out")], tmp_path / "log")
    assert output.count("500 of 500 images done") == 2  # of the model and of the one with random weights
    assert output.count("sweep.csv") == 1


@pytest.mark.parametrize(("name", "gpu"), list(product(["auto", "cpu", "cuda"], [True, False])))
def test_processes_without_a_gpu_are_told_to_share(monkeypatch, name, gpu):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: gpu)
    monkeypatch.setattr(device, "PartialState", SimpleNamespace)
    assert device.processes(name).cpu == (name == "cpu" or not gpu)
