"""The benchmark commands run, and their arithmetic is right; how fast anything is cannot be a test."""

import json
import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from benchmarks import checkpointing, data_loading, features, pruning, sampling, training, unet
from benchmarks.agreement import disagreement, randomise_zeros_
from benchmarks.layouts import randomise
from benchmarks.peak import count_flops
from benchmarks.timing import Quartiles, interleaved, ratios
from unetdiff.config import LevelConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.describe import costs
from unetdiff.preconditioning import EDM
from unetdiff.unet import UNet

CONFIG = "configs/fashion-mnist.yaml"


@pytest.fixture(autouse=True)
def _restore_accelerate():
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_ratios_are_formed_within_rounds():
    assert ratios([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == Quartiles(low=2.0, median=2.0, high=2.0)


def test_candidates_take_turns():
    calls = []
    taken = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert calls == ["a", "b"] * 3
    assert [len(times) for times in taken.values()] == [3, 3]


def test_flops_of_a_convolution_and_its_backward_pass():
    convolve, x = nn.Conv2d(4, 6, 3, padding=1), torch.randn(2, 4, 8, 8, requires_grad=True)
    forward = 2 * 2 * 6 * 4 * 9 * 8 * 8  # multiply and add, images, widths, window, positions
    assert count_flops(lambda: convolve(x)) == forward
    assert count_flops(lambda: convolve(x).sum().backward()) == 3 * forward


def test_flops_include_attention():
    q = torch.randn(1, 1, 5, 7)
    flops = count_flops(lambda: nn.functional.scaled_dot_product_attention(q, q, q))
    assert flops == 2 * (2 * 5 * 5 * 7)


def test_networks_agree_only_with_the_same_weights():
    network = UNet(unet.tiny()).eval()
    randomise_zeros_(network)
    inputs = unet.Inputs.random(network.config, batch=2)
    peer = deepcopy(network).to_diffusers()
    assert disagreement(network, peer, inputs.x, inputs.timestep) <= unet.TOLERANCE
    with torch.no_grad():
        peer.get_parameter("mid_block.resnets.0.conv2.weight").mul_(1.01)
    assert disagreement(network, peer, inputs.x, inputs.timestep) > unet.TOLERANCE


def test_unet_command(tmp_path, capsys):
    rows = unet.main(["--quick", "--out", str(tmp_path / "rows.json")])
    assert {(row.task, row.network) for row in rows} >= {(task, unet.OURS) for task in unet.TASKS}
    for row in rows:
        assert all(math.isfinite(value) and value > 0 for value in (row.ratio.median, row.gflops, row.peak_share))
        assert row.network != unet.THEIRS or row.ratio == Quartiles(low=1.0, median=1.0, high=1.0)
    assert len(json.loads((tmp_path / "rows.json").read_text())["rows"]) == len(rows)
    assert capsys.readouterr().out.count("\n") == 2 + len(rows)


def test_training_loops_take_turns(capsys, pytestconfig, fashion_mnist):
    training.main(["--quick", "--config", str(pytestconfig.rootpath / CONFIG)])
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines()]
    assert rows[2:] == ["unetdiff", "diffusers", "plain PyTorch"]


def test_data_loading_command(pytestconfig, fashion_mnist):
    waiting = data_loading.main(["--quick", "--config", str(pytestconfig.rootpath / CONFIG)])
    assert 0 < waiting.share.median < 1


@pytest.fixture(scope="module")
def tiny_denoiser():
    levels = (LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1))
    network = UNet(UNetConfig(in_channels=1, out_channels=1, num_classes=10, levels=levels)).eval()
    randomise(network)
    return Denoiser(network, EDM())


@pytest.mark.parametrize("name", sampling.CASES)
def test_an_image_does_not_depend_on_its_batch(tiny_denoiser, name):
    case = replace(sampling.CASES[name], steps=6)
    first, second = case.images(tiny_denoiser, [0, 10])  # of the same class
    assert (first - second).abs().max() > 0.1
    # pixels of up to 5; float32 rounding differs between batch sizes, and passes through 6 to 11 calls
    assert max(sampling.batch_differences(tiny_denoiser, case, images=14, sizes=(7, 14))) < 2e-5


def test_the_work_of_a_cached_call_is_that_of_the_nodes_outside_the_skip(tiny_denoiser):
    config, skip = tiny_denoiser.unet.config, "down_blocks.0.resnets.0"
    outside = ("conv_in", skip, "up_blocks.1.resnets.0", "up_blocks.1.resnets.1", "conv_out", "time_embedding")
    rows = costs(config, size=(28, 28))
    expected = sum(row.macs for row in rows if row.name in outside) / sum(row.macs for row in rows)
    assert sampling.cached_share(tiny_denoiser.unet, skip) == pytest.approx(expected, rel=1e-12)


def test_sampling_command(capsys):
    sampling.main(["--quick"])
    out = capsys.readouterr().out
    for header in ("| dpmpp-2m, steps |", "| around the network |", "| 2 images,"):
        assert out.count(header) == 1
    assert all(f"\n| {name} |" in out for name in sampling.CASES)


def test_gradient_checkpointing_saves_two_fifths_of_a_steps_memory(tmp_path):
    out = tmp_path / "checkpointing.json"
    checkpointing.main(["--quick", "--rounds", "1", "--batch", "4", "--out", str(out)])
    (row,) = json.loads(out.read_text())
    assert row["checkpointed_bytes"] < 0.6 * row["plain_bytes"]
    assert row["memory_ratio"] < row["memory_ratio_with_state"] < 1


def test_rounds_must_be_positive(capsys):
    with pytest.raises(SystemExit) as stop:
        unet.main(["--rounds", "0"])
    assert stop.value.code == 2
    assert "rounds" in capsys.readouterr().err


def test_pruning_command(capsys):
    pruning.main(["--quick", "--networks", "[shipped]"])
    operations, time = capsys.readouterr().out.splitlines()
    assert 0.5 < float(operations.split(": ")[1].split()[0]) < 0.7
    assert time.startswith("shipped: ")


def test_features_command(capsys):
    features.main(["--quick"])
    out = capsys.readouterr().out
    for line in ("hooks over ours", "of the network's operations", "throughput over the bare network's"):
        assert out.count(line) == 1
    assert out.count("resident at most") == 2
