"""Whatever a model comes as, it is found, described without its weights, and loaded."""

import json

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler

from benchmarks.layouts import build, inputs
from unetdiff.errors import InputError
from unetdiff.losses import (
    EDMObjective,
    EpsilonObjective,
    LogNormalObjective,
    RectifiedFlowObjective,
    VObjective,
    continuing_objective,
)
from unetdiff.model_folder import SHIPPED, DataInfo, ModelInfo, save_model
from unetdiff.noise import DiscreteSchedule, VPSchedule
from unetdiff.preconditioning import EDM, VE, Consistency, EDMVelocity, Epsilon, RectifiedFlow, V
from unetdiff.training.pretrained import Pretrained
from unetdiff.unet import UNet

LAYOUT = "DDPM (google/ddpm-cifar10-32)"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    torch.manual_seed(0)
    DDPMPipeline(unet=build(LAYOUT), scheduler=DDPMScheduler(num_train_timesteps=500)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("source", [str(SHIPPED), "fashion-mnist"])
def test_the_shipped_model(source):
    found = Pretrained.find(source)
    assert (found.preconditioning, found.config.num_classes) == (EDM(), 10)
    assert found.load().config == found.config


def test_a_run_folder_means_its_model(tmp_path, model):
    data = DataInfo(channels=1, height=8, width=8)
    save_model(tmp_path / "model", UNet(model), ModelInfo(preconditioning=RectifiedFlow(), data=data))
    found = Pretrained.find(str(tmp_path))
    assert (found.config, found.preconditioning) == (model, RectifiedFlow())


def test_a_pipeline_of_diffusers(pipeline):
    found = Pretrained.find(str(pipeline))
    assert found.preconditioning == Epsilon(schedule=DiscreteSchedule(steps=500))
    theirs = DDPMPipeline.from_pretrained(pipeline).unet
    with torch.no_grad():
        ours, expected = (network(**inputs(LAYOUT)).sample for network in (found.load(), theirs))
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_bare_network_does_not_say_how_it_was_preconditioned(pipeline):
    found = Pretrained.find(str(pipeline / "unet"))
    assert found.preconditioning is None
    assert found.config == Pretrained.find(str(pipeline)).config
    found.require_preconditioning(VE())


def test_what_is_no_network_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"config.json: a file of a model folder expected"):
        Pretrained.find(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "Transformer2DModel"}))
    with pytest.raises(InputError, match="Transformer2DModel"):
        Pretrained.find(str(tmp_path))
    with pytest.raises(InputError, match="a folder with config.json and weights expected, got a file"):
        Pretrained.find(str(tmp_path / "config.json"))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (EDM(), True),
        (EDM(sigma_min=0.01, sigma_max=20.0), True),
        (EDM(sigma_data=0.6), False),
        (EDM(noise_scale=250.0), False),
        (EDMVelocity(), False),
        (Epsilon(), False),
        (EDM(sigma_min=100.0, sigma_max=200.0), False),
    ],
    ids=repr,
)
def test_only_what_the_network_can_tell_apart_counts(other, same):
    found = Pretrained.find(str(SHIPPED))
    if same:
        found.require_preconditioning(other)
    else:
        with pytest.raises(InputError, match=r"objective: expected the preconditioning of .*fashion-mnist, EDM"):
            found.require_preconditioning(other)


@pytest.mark.parametrize(
    ("preconditioning", "kind"),
    [
        (EDM(sigma_data=0.6, sigma_max=20.0), EDMObjective),
        (EDM(noise_scale=250.0), LogNormalObjective),
        (EDMVelocity(), LogNormalObjective),
        (Consistency(), LogNormalObjective),
        (Epsilon(schedule=DiscreteSchedule(kind="cosine")), EpsilonObjective),
        (Epsilon(schedule=VPSchedule()), LogNormalObjective),
        (Epsilon(time_scale=2.0), LogNormalObjective),
        (V(), VObjective),
        (RectifiedFlow(time_scale=1.0), RectifiedFlowObjective),
        (VE(), LogNormalObjective),
    ],
    ids=repr,
)
def test_the_objective_that_goes_on_has_the_preconditioning(preconditioning, kind):
    objective = continuing_objective(preconditioning)
    assert type(objective) is kind
    assert objective.preconditioning == preconditioning
    assert objective.weight(objective.sigma(torch.tensor([1e-9, 0.5, 1 - 1e-6]))).isfinite().all()
