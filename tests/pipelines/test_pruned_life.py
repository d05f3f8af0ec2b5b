"""The full life of a network pruned by half: trained on, saved, in diffusers' pipelines, with LoRA and ControlNet."""

import logging
from contextlib import contextmanager

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict
from torch.nn import functional as F
from torch.nn.modules.module import register_module_parameter_registration_hook

from benchmarks.layouts import inputs
from unetdiff import presets
from unetdiff.lora import fuse_lora
from unetdiff.prune import prune
from unetdiff.prune.select import Candidate, knapsack
from unetdiff.removal import removable
from unetdiff.unet import UNet

LAYOUT = "Stable Diffusion 1.5"
PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]
stable_diffusion = pytest.mark.parametrize("bench", ["StableDiffusionPipeline"], indirect=True)


def half(unet):
    """The network without about half of its parameters: whole nodes, by scores that are made up."""
    ways = removable(unet.nodes, cross_attention=True)
    names = [node.name for node in unet.nodes if node.name in ways]
    candidates = [
        Candidate(name=name, saving=saved_without(unet, name), score=1 + (7 * place) % 5)
        for place, name in enumerate(names)
    ]
    chosen = knapsack(candidates, least=unet.num_parameters() // 2)
    pruned = prune(unet, {name: ways[name][0] for name in chosen})
    assert 0.4 * unet.num_parameters() < pruned.num_parameters() <= 0.5 * unet.num_parameters()
    return pruned


def saved_without(unet, name):
    """The parameters of a node, apart from the projection that stays."""
    inside = unet.get_submodule(name).named_parameters()
    return sum(parameter.numel() for key, parameter in inside if "conv_shortcut" not in key)


def trained(student, teacher, steps=8):
    """Some steps towards the teacher's output on noise; the losses.

    The place for `unetdiff distill`.
    """
    student.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(student.parameters(), lr=2e-3)
    arguments, losses = inputs(LAYOUT, size=(8, 8)), []
    with torch.no_grad():
        target = teacher(**arguments).sample
    for _ in range(steps):
        loss = F.mse_loss(student(**arguments).sample, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    student.eval()
    return losses


def lora(unet, folder):
    """A LoRA file of random weights for all attention of a network; the number of its layers."""
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=PROJECTIONS))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    layers = get_peft_model_state_dict(unet)
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=convert_state_dict_to_diffusers(layers))
    return len(layers) // 2


@contextmanager
def diffusers_propagates():
    """Let what diffusers logs reach the root logger, where pytest listens."""
    diffusers.utils.logging.enable_propagation()
    yield
    diffusers.utils.logging.disable_propagation()


def adapted(unet):
    return sum(isinstance(module, BaseTunerLayer) for module in unet.modules())


@pytest.fixture(scope="module")
def folder(bench, tmp_path_factory):
    """Half of the pipeline's network, saved."""
    place = tmp_path_factory.mktemp("half")
    half(bench.ours).save_pretrained(place)
    return place


@pytest.fixture
def student(folder):
    return UNet.from_pretrained(folder)


@stable_diffusion
def test_half_is_trained_saved_and_sampled_in_a_pipeline(bench, student, tmp_path):
    losses = trained(student, bench.ours)
    assert losses[-1] < 0.8 * losses[0]
    image = bench.image(bench.pipeline(student))
    bench.pipeline(student).save_pretrained(tmp_path / "pipeline")
    loaded = DiffusionPipeline.from_pretrained(tmp_path / "pipeline")
    assert type(loaded) is StableDiffusionPipeline
    assert loaded.unet.config == student.config
    assert np.array_equal(bench.image(loaded), image)
    again = StableDiffusionPipeline.from_pretrained(tmp_path / "pipeline")
    assert np.array_equal(bench.image(again), image)
    assert np.abs(image - bench.image(bench.pipeline(bench.ours))).max() > 0.01


@stable_diffusion
def test_half_takes_the_place_in_a_folder_of_diffusers(bench, student, tmp_path):
    bench.pipeline(bench.theirs).save_pretrained(tmp_path)
    student.save_pretrained(tmp_path / "student")
    loaded = StableDiffusionPipeline.from_pretrained(tmp_path, unet=UNet.from_pretrained(tmp_path / "student"))
    assert np.array_equal(bench.image(loaded), bench.image(bench.pipeline(student)))


@stable_diffusion
def test_its_own_lora_loads(bench, student, folder, tmp_path):
    layers = lora(UNet.from_pretrained(folder), tmp_path)
    pipeline = bench.pipeline(student)
    plain = bench.image(pipeline)
    pipeline.load_lora_weights(tmp_path)
    assert adapted(student) == layers
    assert np.abs(bench.image(pipeline) - plain).max() > 0.05
    pipeline.unload_lora_weights()
    assert np.array_equal(bench.image(pipeline), plain)


@stable_diffusion
def test_a_lora_of_the_whole_network_loads_on_what_remains_and_the_rest_is_named(
    bench, student, folder, tmp_path, caplog
):
    bench.theirs.save_pretrained(tmp_path / "whole")
    layers = lora(UNet.from_pretrained(tmp_path / "whole"), tmp_path)
    gone = [name for name in student.config.removed if "attentions" in name]
    assert gone
    left = sum(name.endswith(tuple(PROJECTIONS)) for name, _ in student.named_modules())
    assert 0 < left < layers
    pipeline = bench.pipeline(student)
    plain = bench.image(pipeline)
    with caplog.at_level(logging.WARNING), diffusers_propagates():
        pipeline.load_lora_weights(tmp_path)
    assert adapted(student) == left
    assert all(name in caplog.text for name in gone)
    with_lora = bench.image(pipeline)
    assert np.abs(with_lora - plain).max() > 0.05

    caplog.clear()
    fused = UNet.from_pretrained(folder)
    with caplog.at_level(logging.WARNING):
        fuse_lora(fused, tmp_path)
    assert f"left out {layers - left} layers of parts that were removed, {min(gone)}." in caplog.text
    assert np.abs(bench.image(bench.pipeline(fused)) - with_lora).max() < 1e-5


@pytest.mark.parametrize("bench", ["StableDiffusionControlNetPipeline"], indirect=True)
def test_the_control_net_of_the_whole_network_reaches_it(bench, student):
    pipeline = bench.pipeline(student)
    without = bench.image(pipeline, controlnet_conditioning_scale=0.0)
    assert np.abs(bench.image(pipeline) - without).max() > 0.01


@stable_diffusion
def test_loading_half_builds_half_and_nothing_else(student, folder):
    """Once: the tensors of the file then take the places of its parameters."""
    made = []
    hook = register_module_parameter_registration_hook(lambda module, name, parameter: made.append(parameter))
    UNet.from_pretrained(folder)
    hook.remove()
    assert sum(parameter.numel() for parameter in made) == student.num_parameters()


def test_half_of_stable_diffusion_has_its_size_without_memory():
    with torch.device("meta"):
        whole = UNet(presets.sd15())
    pruned = half(whole)
    assert {parameter.device.type for parameter in pruned.parameters()} == {"meta"}
    assert pruned.num_parameters() <= 859_520_964 // 2
