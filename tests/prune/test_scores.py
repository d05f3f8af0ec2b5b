"""Scores against closed forms, on a network whose parts each add a constant to a channel of their own."""

import numpy as np
import pytest
import torch
from torch import nn

from unetdiff.config import LevelConfig, ResnetConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.losses import EDMObjective
from unetdiff.preconditioning import EDM
from unetdiff.prune.additivity import measure_additivity, random_subsets
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.parts import parts_of
from unetdiff.prune.scores import CRITERIA
from unetdiff.unet import UNet

CHANNELS = 8
LINEAR = 64.0
"""silu is the identity from here on, to the last bit."""


@pytest.fixture
def additive(monkeypatch):
    """F = c_in x + the sum of b_i over the residual blocks, block i adding b_i = i + 1 to channel i."""
    config = UNetConfig(
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        levels=(LevelConfig(channels=CHANNELS, depth=3),),
        mid=None,
        resnet=ResnetConfig(norm_groups=1),
    )
    unet = UNet(config).eval().requires_grad_(False).double()
    for parameter in unet.parameters():
        nn.init.zeros_(parameter)
    monkeypatch.setattr(nn.GroupNorm, "forward", lambda norm, x: x + LINEAR + (norm.weight + norm.bias)[:, None, None])
    for conv in (unet.conv_in, unet.conv_out):
        nn.init.dirac_(conv.weight)
    nn.init.constant_(unet.conv_out.bias, -LINEAR)
    for index, part in enumerate(parts_of(unet)):
        block = unet.get_submodule(part.name)
        block.conv2.bias[index] = index + 1.0
        if block.conv_shortcut is not None:
            nn.init.dirac_(block.conv_shortcut.weight)
    return Denoiser(unet, EDM())


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, CHANNELS, 4, 4, generator=generator, dtype=torch.float64) - 20  # what parts add helps
    return Calibration.spread(images, np.arange(4), {}, EDMObjective().sigma, batch_size=3)


def scores(criterion, denoiser, images):
    return list(CRITERIA[criterion].make()(denoiser, parts_of(denoiser.unet), images).values())


def test_output_loss_is_what_the_part_added(additive, images):
    expected = [(index + 1) ** 2 / CHANNELS for index in range(7)]
    assert scores("output-loss", additive, images) == pytest.approx(expected, rel=1e-5)


def test_output_loss_adds_up_where_parts_are_independent(additive, images):
    parts = parts_of(additive.unet)
    losses = CRITERIA["output-loss"].make()(additive, parts, images)
    measured = measure_additivity(additive, losses, images, random_subsets(parts, 3))
    assert measured.sizes == (1, 2, 4, 5)
    for subset in measured.subsets:
        assert subset.joint == pytest.approx(subset.summed, rel=1e-5)
    assert measured.pearson == pytest.approx(1)
    assert measured.spearman == pytest.approx(1)
    assert measured.ratio == pytest.approx(1, rel=1e-5)


def test_task_loss_is_the_rise_of_the_squared_error(additive, images):
    output = additive.output(images.x, images.sigma)
    errors = output - additive.target(images.x, images.sigma, images.images)
    rises = [(((errors[:, i] - (i + 1)).square() - errors[:, i].square()).mean() / CHANNELS).item() for i in range(7)]
    assert scores("task-loss", additive, images) == pytest.approx(rises, rel=1e-4)
    assert min(rises) > 0


def test_taylor_is_gradient_times_weight(additive, images):
    """Every other weight of a branch is zero."""
    errors = additive.output(images.x, images.sigma) - additive.target(images.x, images.sigma, images.images)
    expected = [abs((2 * errors[:, i].mean() / CHANNELS * (i + 1)).item()) for i in range(7)]
    assert scores("taylor", additive, images) == pytest.approx(expected, rel=1e-4)
    assert not any(parameter.requires_grad for parameter in additive.unet.parameters())


def test_magnitude_is_the_sum_of_what_goes(additive, images):
    assert scores("magnitude", additive, images) == [1, 2, 3, 4, 5, 6, 7]
    stays = additive.unet.up_blocks[0].resnets[0].conv_shortcut
    with torch.no_grad():
        stays.weight *= 100
        additive.unet.down_blocks[0].resnets[0].conv1.weight[0, 0, 0, 0] = -0.5
    assert scores("magnitude", additive, images) == [1.5, 2, 3, 4, 5, 6, 7]


def test_latent_statistics_of_a_shift_are_its_norm(additive, images):
    """A constant moves the mean at 4 x 4 positions, and no standard deviation."""
    expected = [4 * (index + 1) for index in range(7)]
    assert scores("latent-statistics", additive, images) == pytest.approx(expected, rel=1e-4)


def test_feature_cosine_is_the_angle_that_a_part_turns(additive, images):
    first = "down_blocks.0.resnets.0"
    c_in = 1 / (images.sigma**2 + 0.25).sqrt()
    x = c_in.reshape(-1, 1, 1, 1) * images.x
    shifted = x.clone()
    shifted[:, 0] += 1
    cosines = torch.cosine_similarity(x.flatten(1), shifted.flatten(1)).double()
    score = CRITERIA["feature-cosine"].make()(additive, parts_of(additive.unet), images)[first]
    assert score == pytest.approx((1 - cosines).mean().item(), rel=1e-4)


def test_noise_levels_weigh_as_asked(additive, images):
    weighted = Calibration.spread(images.images, np.arange(4), {}, EDMObjective().sigma, noise_power=-1.0)
    plain, low = (scores("task-loss", additive, chosen)[6] for chosen in (images, weighted))
    errors = additive.output(images.x, images.sigma) - additive.target(images.x, images.sigma, images.images)
    rows = ((errors[:, 6] - 7).square() - errors[:, 6].square()).mean(dim=(1, 2)) / CHANNELS
    assert plain == pytest.approx(rows.mean().item(), rel=1e-4)
    assert low == pytest.approx(((rows / images.sigma).sum() / (1 / images.sigma).sum()).item(), rel=1e-4)
