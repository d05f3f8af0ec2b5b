"""A teacher of two levels and a pruned student; Gaussian images, whose denoiser is known."""

import pytest
import torch

from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.distillation import Teacher
from unetdiff.losses import EDMObjective
from unetdiff.prune import prune
from unetdiff.unet import UNet

CONFIG = UNetConfig(
    in_channels=2,
    out_channels=2,
    num_classes=3,
    levels=(LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1)),
    mid=MidConfig(attention=AttentionConfig()),
)
REMOVED = {"mid_block.attentions.0": "identity", "up_blocks.1.resnets.0": "shortcut"}


@pytest.fixture
def network():
    unet = UNet(CONFIG)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return unet


@pytest.fixture
def objective():
    return EDMObjective()


@pytest.fixture
def teacher(network, objective):
    return Teacher(Denoiser(network, objective.preconditioning))


@pytest.fixture
def student(network, objective):
    """With weights of its own."""
    unet = prune(network, REMOVED)
    with torch.device("meta"):
        own = UNet(unet.config)
    own.load_state_dict({name: tensor.clone() for name, tensor in unet.state_dict().items()}, assign=True)
    return Denoiser(own.requires_grad_(True).train(), objective.preconditioning)


@pytest.fixture
def batch():
    return {
        "images": torch.randn(4, 2, 8, 8),
        "noise": torch.randn(4, 2, 8, 8),
        "sigma": torch.tensor([0.05, 0.3, 1.0, 20.0]),
        "class_labels": torch.tensor([0, 2, -1, 1]),
    }


class Gaussian(torch.nn.Module):
    """The denoiser of images N(0, s^2): D = s^2 / (s^2 + sigma^2) x, in closed form."""

    def __init__(self, s=0.5):
        super().__init__()
        self.s = s

    def forward(self, x, sigma, **condition):
        return (self.s**2 / (self.s**2 + sigma**2)).reshape(-1, 1, 1, 1) * x


class Levelwise(torch.nn.Module):
    """D = a_i x with a parameter for each of the noise levels: all that Gaussian images can ask of a denoiser."""

    def __init__(self, levels):
        super().__init__()
        self.levels = levels
        self.factors = torch.nn.Parameter(torch.rand(levels.steps, dtype=torch.float64))

    def forward(self, x, sigma, **condition):
        return self.factors[self.levels.index(sigma).long() - 1].reshape(-1, 1, 1, 1) * x


@pytest.fixture
def gaussian():
    return Gaussian


@pytest.fixture
def levelwise():
    return Levelwise
