"""The full life of a network pruned by half: trained on, saved, in diffusers' pipelines, with LoRA and ControlNet."""

import json
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
from PIL import Image
from torch.nn.modules.module import register_module_parameter_registration_hook

from unetdiff import presets
from unetdiff.cli.main import main
from unetdiff.lora import fuse_lora
from unetdiff.prune import prune
from unetdiff.prune.select import Candidate, knapsack
from unetdiff.removal import removable
from unetdiff.unet import UNet

LAYOUT = "Stable Diffusion 1.5"
PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]
CAPTIONS = {"fox.png": "a red fox", "hen.png": "a hen", "owl.png": "an old owl", "cat.png": ""}
STEPS = ["--steps", "12", "--batch_size", "4", "--num_workers", "0", "--log_every", "1", "--distill.task", "0"]
LEARNING = ["--optimizer.lr", "2e-3", "--ema", "unetdiff.training.averages.WarmupEMA", "--ema.decay", "0.5"]
UNSEEN = ["--preview.every", "0", "--validation.every", "0"]
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


def distilled(bench, student, folder):
    """The student after some steps of `unetdiff distill`, from the folder of one pipeline to that of another."""
    pictures = folder / "pictures"
    pictures.mkdir()
    random = np.random.default_rng(0)
    for name in CAPTIONS:
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(pictures / name)
    rows = [json.dumps({"file_name": name, "text": caption}) for name, caption in CAPTIONS.items()]
    (pictures / "metadata.jsonl").write_text("\n".join(rows))
    for name, unet in {"teacher": bench.theirs, "student": student}.items():
        bench.pipeline(unet).save_pretrained(folder / name)
    networks = ["--teacher", str(folder / "teacher"), "--student", str(folder / "student"), "--data", str(pictures)]
    assert main(["distill", *networks, *STEPS, *LEARNING, *UNSEEN, "--out", str(folder / "run")]) == 0
    return UNet.from_pretrained(folder / "run" / "model")


def losses(folder):
    """Of the steps of `distilled`."""
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


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
def test_half_is_distilled_saved_and_sampled_in_a_pipeline_with_a_lora(bench, student, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    network = distilled(bench, student, tmp_path)
    assert network.config.removed == student.config.removed
    made = losses(tmp_path)
    assert sum(made[-4:]) < 0.8 * sum(made[:4])
    image = bench.image(bench.pipeline(network))
    bench.pipeline(network).save_pretrained(tmp_path / "pipeline")
    loaded = DiffusionPipeline.from_pretrained(tmp_path / "pipeline")
    assert type(loaded) is StableDiffusionPipeline
    assert loaded.unet.config == student.config
    assert np.array_equal(bench.image(loaded), image)
    again = StableDiffusionPipeline.from_pretrained(tmp_path / "pipeline")
    assert np.array_equal(bench.image(again), image)
    assert np.abs(image - bench.image(bench.pipeline(bench.ours))).max() > 0.01

    layers = lora(network, tmp_path / "lora")
    loaded.load_lora_weights(tmp_path / "lora")
    assert adapted(loaded.unet) == layers
    assert np.abs(bench.image(loaded) - image).max() > 0.05


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
