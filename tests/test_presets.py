import pytest
import torch

from unetdiff import presets
from unetdiff.unet import UNet

PARAMETERS = {
    "ddpm_cifar10": 35_746_307,
    "ddpmpp_cifar10": 55_732_739,
    "adm_imagenet64": 295_899_267,
    "sd15": 859_520_964,
    "sdxl": 2_567_463_684,
}


def test_every_preset_has_its_count():
    assert sorted(PARAMETERS) == sorted(presets.__all__)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count(name):
    with torch.device("meta"):
        unet = UNet(getattr(presets, name)())
    assert sum(parameter.numel() for parameter in unet.parameters()) == PARAMETERS[name]
    assert f"{PARAMETERS[name]:,}" in presets.__doc__


def test_skips_of_the_edm_networks():
    assert len(presets.ddpmpp_cifar10().skips()) == 15
    adm = presets.adm_imagenet64()
    joins = [node for node in adm.nodes() if node.skip_from is not None]
    assert len(joins) == 16
    assert sum(node.in_channels == node.skip_channels for node in joins) == 10
