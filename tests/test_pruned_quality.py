"""The study of pruned models: its choices by hand, its table, and all of it once with a tiny network."""

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from benchmarks import pruned_quality
from benchmarks.pruned_networks import handcrafted
from benchmarks.pruned_report import Facts, Measured, Row, table
from unetdiff.config import LevelConfig, MidConfig, UNetConfig
from unetdiff.model_folder import DataInfo, ModelInfo, save_model
from unetdiff.preconditioning import EDM
from unetdiff.prune import prune
from unetdiff.prune.parts import parts_of
from unetdiff.unet import UNet

REAL = np.random.default_rng(0).normal(size=(50, 3))


@pytest.fixture
def network():
    levels = (LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1))
    unet = UNet(UNetConfig(in_channels=1, out_channels=1, num_classes=10, levels=levels, mid=MidConfig(depth=0))).eval()
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return unet


def measured(shift, loss=0.0):
    facts = Facts(parameters=2000, macs=4_000_000, output_loss=loss)
    return Measured(facts=facts, rows=(np.random.default_rng(1).normal(size=(50, 3)) + shift).astype(np.float32))


@pytest.mark.parametrize("keep", [0.9, 0.7, 0.5])
def test_by_hand_the_last_blocks_of_all_levels_go_until_it_is_enough(network, keep):
    ways = {part.name: part.way for part in parts_of(network)}
    chosen = handcrafted(network, keep, (28, 28))
    order = ("up_blocks.1.resnets.1", "up_blocks.0.resnets.1", "mid_block.resnets.0", "down_blocks.1.resnets.0")
    assert chosen[:4] == order[: len(chosen)]
    left = [prune(network, {name: ways[name] for name in names}).num_parameters() for names in (chosen, chosen[:-1])]
    assert left[0] <= keep * network.num_parameters() < left[1]


def test_a_row_tells_one_networks_errors_and_several_ones_spread():
    near, far = measured(0.5, loss=0.1), measured(1.0, loss=0.3)
    rows = [
        Row(keep=0.7, label="magnitude", before=(far,), after=(near,)),
        Row(keep=0.7, label="random", before=(near, far), after=()),
    ]
    lines = table(rows, measured(0.0), REAL, measured(0.0).rows).splitlines()
    whole, magnitude, random, floor = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    assert magnitude[:6] == ["70%", "magnitude", "2.0 k", "4.0 M", "300.000", "100.000"]
    assert random[1] == "random (2 seeds, 0 taught)"
    assert random[4] == "200.000 ± 141.421"  # the deviation of two numbers is their difference over sqrt(2)
    before, after = (float(cell.split()[0]) for cell in magnitude[6:8])
    mean, deviation = map(float, random[6].split(" ± "))
    assert mean == pytest.approx((before + after) / 2, abs=1e-3)
    assert deviation == pytest.approx((before - after) / 2**0.5, abs=1e-3)
    assert random[5] == random[7] == random[9] == ""
    assert len({len(row) for row in (whole, magnitude, random, floor)}) == 1
    assert whole[6] == floor[6]


def test_the_command(network, fashion_mnist, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    info = ModelInfo(preconditioning=EDM(), data=DataInfo(channels=1, height=28, width=28))
    save_model(tmp_path / "model", network, info)
    sizes = "--keeps [0.8] --seeds 1 --calibration 2 --images 4 --calls 2 --steps 1 --batch 2 --additivity 1"
    make = [*sizes.split(), "--folder", f"{tmp_path}/out", "--model", f"{tmp_path}/model"]
    pruned_quality.main(make)
    assert len(capsys.readouterr().out.splitlines()) == 2 * 6
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    pruned_quality.main(make)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == written
    capsys.readouterr()
    pruned_quality.main([*make, "--table", "--plot", f"{tmp_path}/distances.svg"])
    out = capsys.readouterr().out
    assert out.count("| 80% | ") == 6
    assert "| 80% | output-loss, plain features | " in out
    assert "Spearman" in out
    assert "<!-- 20% of the parameters removed -->" in (tmp_path / "distances.svg").read_text()
    AcceleratorState._reset_state(reset_partial_state=True)  # it is a singleton that remembers the device
