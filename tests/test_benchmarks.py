"""The benchmark commands run, and their arithmetic is right; how fast anything is cannot be a test."""

import json
import math
from copy import deepcopy

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from benchmarks import data_loading, unet
from benchmarks.agreement import disagreement, randomise_zeros_
from benchmarks.peak import count_flops
from benchmarks.timing import Quartiles, interleaved, ratios
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


def test_data_loading_command(pytestconfig, fashion_mnist):
    waiting = data_loading.main(["--quick", "--config", str(pytestconfig.rootpath / CONFIG)])
    assert 0 < waiting.share.median < 1


def test_rounds_must_be_positive(capsys):
    with pytest.raises(SystemExit) as stop:
        unet.main(["--rounds", "0"])
    assert stop.value.code == 2
    assert "rounds" in capsys.readouterr().err
