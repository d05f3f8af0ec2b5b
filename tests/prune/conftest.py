"""A network with every kind of part that can be taken out."""

import numpy as np
import pytest
import torch

from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.losses import EDMObjective
from unetdiff.preconditioning import EDM
from unetdiff.prune.calibration import Calibration
from unetdiff.unet import UNet

TRANSFORMER = AttentionConfig(kind="transformer", heads=2, layers=2)
CONFIG = UNetConfig(
    in_channels=2,
    out_channels=2,
    levels=(
        LevelConfig(channels=8, depth=2, attention=AttentionConfig(heads=2)),
        LevelConfig(channels=16, depth=1, attention=TRANSFORMER),
    ),
    mid=MidConfig(attention=TRANSFORMER),
    resnet=ResnetConfig(residual_scale=0.5**0.5),
    cross_attention_dim=6,
)


@pytest.fixture
def unet():
    torch.manual_seed(0)
    network = UNet(CONFIG)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return network.eval().requires_grad_(False)


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    return {
        "sample": torch.randn(2, 2, 8, 8, generator=generator),
        "timestep": torch.tensor([0.3, 2.0]),
        "encoder_hidden_states": torch.randn(2, 5, 6, generator=generator),
    }


@pytest.fixture
def denoiser(unet):
    return Denoiser(unet, EDM())


@pytest.fixture
def calibration():
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(5, 2, 8, 8, generator=generator)
    tokens = torch.randn(5, 4, 6, generator=generator)
    condition = {"encoder_hidden_states": tokens}
    return Calibration.spread(images, np.arange(5), condition, EDMObjective().sigma, noise_power=0.5, batch_size=2)
