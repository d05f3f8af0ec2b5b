"""Sampling again and again with everything around the network leaves nothing behind."""

import pytest
import torch

from benchmarks import endurance
from benchmarks.endurance import WRAPPERS, Footprint, footprints
from benchmarks.layouts import randomise
from unetdiff.config import LevelConfig, ResnetConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.preconditioning import EDM
from unetdiff.unet import UNet


@pytest.fixture
def denoiser():
    level, resnet = LevelConfig(channels=4, depth=1), ResnetConfig(norm_groups=2)
    network = UNet(UNetConfig(in_channels=1, out_channels=1, num_classes=10, levels=(level, level), resnet=resnet))
    randomise(network)
    return Denoiser(network.eval(), EDM())


def test_calls_leave_no_tensors_and_no_hooks(denoiser):
    early, late = footprints(denoiser, (1, 4, 4), [50, 200])
    assert late.tensors == early.tensors
    assert late.hooks == early.hooks == 0


def test_what_stays_is_counted(denoiser):
    before = Footprint.after(0, denoiser.unet)
    kept = [torch.zeros(1)]
    denoiser.unet.conv_in.register_forward_hook(lambda *_: None)
    after = Footprint.after(0, denoiser.unet)
    assert (after.tensors, after.hooks) == (before.tensors + len(kept), before.hooks + 1)


@pytest.mark.parametrize("name", WRAPPERS)
def test_every_wrapper_changes_the_prediction_but_none_and_capture(denoiser, name):
    x, sigma = 9 * torch.ones(1, 1, 4, 4), 1.0
    with torch.no_grad():
        denoise, plain = WRAPPERS[name](denoiser), WRAPPERS["none"](denoiser)
        denoise(x, 1.1 * sigma)
        assert torch.equal(denoise(x, sigma), plain(x, sigma)) == (name in ("none", "capture"))


def test_command(capsys):
    endurance.main(["--quick"])
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "| calls | resident MiB | live tensors | hooks |"
    assert [row.split(" ")[1] for row in out[2:4]] == ["8", "10"]
    assert out[-1].endswith("MiB per 1,000 calls")
