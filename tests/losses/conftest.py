"""The objectives that the tests of all objectives are about, and a network whose output is given."""

import pytest
import torch

from unetdiff.losses import (
    EDMObjective,
    EpsilonObjective,
    LogitNormal,
    LogNormalObjective,
    RectifiedFlowObjective,
    Uniform,
    VObjective,
    X0Objective,
)
from unetdiff.noise import DiscreteSchedule
from unetdiff.preconditioning import VE

OBJECTIVES = (
    EDMObjective(P_mean=-1.0, P_std=1.2),
    EpsilonObjective(),
    EpsilonObjective(schedule=DiscreteSchedule(kind="cosine", steps=300)),
    VObjective(schedule=DiscreteSchedule(zero_terminal_snr=True)),
    X0Objective(schedule=DiscreteSchedule(kind="scaled_linear", beta_start=0.00085, beta_end=0.012)),
    RectifiedFlowObjective(times=Uniform()),
    RectifiedFlowObjective(times=LogitNormal(mean=-0.5, std=0.8)),
    LogNormalObjective(prediction=VE(), P_mean=0.5),
)


@pytest.fixture(params=OBJECTIVES, ids=lambda objective: type(objective).__name__)
def objective(request):
    return request.param


class Raw(torch.nn.Module):
    """A network whose output is `function` of its input."""

    dtype = torch.float64

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, noise, return_dict, **condition):
        return (self.function(x),)


@pytest.fixture
def raw():
    return Raw
