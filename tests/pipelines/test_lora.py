"""LoRA through peft: trained on our network, exchanged with diffusers' class, scaled, removed."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from benchmarks.layouts import build, inputs
from unetdiff.unet import UNet

TOLERANCE = 1e-5  # of images from 0 to 1, after two steps in float32
PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]
LAYOUT = "Stable Diffusion 1.5"

stable_diffusion = pytest.mark.parametrize("bench", ["StableDiffusionPipeline"], indirect=True)


def network(folder):
    """A network of our own to change."""
    if not (folder / "unet").exists():
        build(LAYOUT).save_pretrained(folder / "unet")
    return UNet.from_pretrained(folder)


def with_adapter(unet, seed=0):
    """The same network, with a LoRA of random weights, which would otherwise start as nothing."""
    unet.add_adapter(LoraConfig(r=3, lora_alpha=3, target_modules=PROJECTIONS))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return unet


def lora_weights(unet):
    return convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))


@pytest.fixture
def lora(tmp_path):
    """A LoRA file of diffusers with random weights, saved from our class; its folder."""
    weights = lora_weights(with_adapter(network(tmp_path)))
    StableDiffusionPipeline.save_lora_weights(tmp_path / "lora", unet_lora_layers=weights)
    return tmp_path / "lora"


def pipelines(bench, folder):
    """Both classes in fresh pipelines: theirs, ours."""
    ours = network(folder)
    return bench.pipeline(build(LAYOUT)), bench.pipeline(ours)


def distance(a, b):
    return np.abs(a - b).max()


def test_only_the_adapter_is_trained(tmp_path):
    unet, arguments = network(tmp_path), inputs(LAYOUT)
    base = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    unet.add_adapter(LoraConfig(r=2, target_modules=PROJECTIONS))
    trained = {name: parameter for name, parameter in unet.named_parameters() if parameter.requires_grad}
    wrapped = [module for module in unet.modules() if isinstance(module, BaseTunerLayer)]
    assert len(trained) == 2 * len(wrapped) == 2 * len([name for name in base if name.endswith("to_q.weight")]) * 4
    assert all("lora_" in name for name in trained)

    start = unet(**arguments).sample.detach()
    optimizer = torch.optim.SGD(trained.values(), lr=0.1)
    losses = []
    for _ in range(4):
        loss = unet(**arguments).sample.square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses == sorted(losses, reverse=True)
    assert not torch.equal(unet(**arguments).sample, start)
    kept = {name.replace(".base_layer", ""): tensor for name, tensor in unet.state_dict().items()}
    assert all(torch.equal(kept[name], tensor) for name, tensor in base.items())


@stable_diffusion
def test_a_lora_file_means_the_same_to_both_classes(bench, lora, tmp_path):
    theirs, ours = pipelines(bench, tmp_path)
    plain = bench.image(ours)
    trained = bench.image(bench.pipeline(with_adapter(network(tmp_path))))
    for pipeline in (theirs, ours):
        pipeline.load_lora_weights(lora)
    image = bench.image(ours)
    assert np.array_equal(image, trained)
    assert distance(image, bench.image(theirs)) <= TOLERANCE
    assert distance(image, plain) > 0.1


@stable_diffusion
def test_the_scale_is_that_of_diffusers_class_and_goes_with_the_call(bench, lora, tmp_path):
    theirs, ours = pipelines(bench, tmp_path)
    for pipeline in (theirs, ours):
        pipeline.load_lora_weights(lora)
    full = bench.image(ours)
    half = bench.image(ours, cross_attention_kwargs={"scale": 0.5})
    assert distance(half, bench.image(theirs, cross_attention_kwargs={"scale": 0.5})) <= TOLERANCE
    assert distance(half, full) > 0.1
    assert np.array_equal(bench.image(ours), full)


@stable_diffusion
def test_a_scale_is_a_weight_of_the_adapter(bench, lora, tmp_path):
    _, ours = pipelines(bench, tmp_path)
    plain = bench.image(ours)
    ours.load_lora_weights(lora, adapter_name="fox")
    half = bench.image(ours, cross_attention_kwargs={"scale": 0.5})
    assert np.array_equal(bench.image(ours, cross_attention_kwargs={"scale": 0.0}), plain)
    ours.set_adapters(["fox"], [0.5])
    assert distance(bench.image(ours), half) <= TOLERANCE


@pytest.mark.parametrize("scale", [0.0, 0.1, 0.3])
def test_a_scale_leaves_nothing_behind(scale, tmp_path):
    """Neither where the factor is no power of two, nor zero, nor where the forward pass raises half way."""
    unet, arguments = with_adapter(network(tmp_path)), inputs(LAYOUT)
    unet.set_adapters(["default"], [0.7])
    layers = [module for module in unet.modules() if isinstance(module, BaseTunerLayer)]
    before = [dict(layer.scaling) for layer in layers]
    unet(**arguments, cross_attention_kwargs={"scale": scale})
    assert [layer.scaling for layer in layers] == before
    wrong = [torch.zeros(2, 1, 3, 3)] * len(unet.skips)
    with pytest.raises(RuntimeError):
        unet(**arguments, cross_attention_kwargs={"scale": scale}, down_block_additional_residuals=wrong)
    assert [layer.scaling for layer in layers] == before


@stable_diffusion
def test_an_unloaded_lora_is_gone_to_the_bit(bench, lora, tmp_path):
    _, ours = pipelines(bench, tmp_path)
    plain, keys = bench.image(ours), list(ours.unet.state_dict())
    ours.load_lora_weights(lora)
    ours.unload_lora_weights()
    assert np.array_equal(bench.image(ours), plain)
    assert list(ours.unet.state_dict()) == keys


@stable_diffusion
def test_a_lora_is_fused_into_the_weights_and_taken_out(bench, lora, tmp_path):
    _, ours = pipelines(bench, tmp_path)
    ours.load_lora_weights(lora)
    apart = bench.image(ours)
    ours.fuse_lora()
    assert distance(bench.image(ours), apart) <= TOLERANCE
    ours.unfuse_lora()
    assert distance(bench.image(ours), apart) <= TOLERANCE


@pytest.mark.parametrize("bench", ["StableDiffusionXLPipeline"], indirect=True)
def test_a_lora_file_with_the_numbers_of_the_original_sdxl_means_the_same_to_both_classes(bench, tmp_path):
    """The form of kohya's trainer: one number for each block, which diffusers derives from `layers_per_block`."""
    generator = torch.Generator().manual_seed(0)
    file = {}
    for block, width in {"input_blocks_4_1": 32, "middle_block_1": 32, "output_blocks_2_1": 32}.items():
        name = f"lora_unet_{block}_transformer_blocks_0_attn1_to_q"
        file[f"{name}.lora_down.weight"] = torch.randn(2, width, generator=generator)
        file[f"{name}.lora_up.weight"] = torch.randn(width, 2, generator=generator)
        file[f"{name}.alpha"] = torch.tensor(2.0)
    save_file(file, tmp_path / "kohya.safetensors")
    plain = bench.image(bench.pipeline(bench.ours))
    images = []
    for unet in (bench.theirs, bench.ours):
        pipeline = bench.pipeline(unet)
        pipeline.load_lora_weights(tmp_path / "kohya.safetensors")
        images.append(bench.image(pipeline))
        pipeline.unload_lora_weights()
    assert distance(*images) <= TOLERANCE
    assert distance(images[1], plain) > 0.01
