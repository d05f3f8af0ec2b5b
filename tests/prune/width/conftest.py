"""A network with every kind of part that can be narrower, with norm groups of several channels."""

from dataclasses import replace

import pytest
import torch

from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, UNetConfig
from unetdiff.unet import UNet

TRANSFORMER = AttentionConfig(kind="transformer", heads=4, layers=2)
CONFIG = UNetConfig(
    in_channels=2,
    out_channels=2,
    levels=(
        LevelConfig(channels=8, depth=1, attention=AttentionConfig(heads=4)),
        LevelConfig(channels=16, depth=1, attention=TRANSFORMER),
    ),
    mid=MidConfig(attention=TRANSFORMER),
    resnet=ResnetConfig(norm_groups=4),
    cross_attention_dim=6,
)
CONFIGS = {
    "embedding added": CONFIG,
    "scale and shift, resampling blocks": replace(
        CONFIG,
        resnet=ResnetConfig(norm_groups=4, time_conditioning="scale_shift", residual_scale=0.5**0.5),
        downsample="resnet",
        upsample="resnet",
    ),
}


@pytest.fixture(params=CONFIGS)
def unet(request):
    torch.manual_seed(0)
    network = UNet(CONFIGS[request.param]).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval().requires_grad_(False)


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    return {
        "sample": torch.randn(2, 2, 8, 8, generator=generator, dtype=torch.float64),
        "timestep": torch.tensor([0.3, 2.0], dtype=torch.float64),
        "encoder_hidden_states": torch.randn(2, 5, 6, generator=generator, dtype=torch.float64),
    }
