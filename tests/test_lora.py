"""A LoRA: it starts as nothing, its file means the same to diffusers' class, and fused it is an ordinary network."""

import json

import pytest
import torch
from peft import LoraConfig as PeftConfig
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmarks.layouts import build, inputs
from unetdiff.errors import InputError
from unetdiff.lora import LORA_FILE, LoraConfig, add_lora, find_lora, fuse_lora, has_lora, lora_tensors, save_lora
from unetdiff.unet import UNet

LAYOUT = "Stable Diffusion 1.5"
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network of diffusers, saved."""
    path = tmp_path_factory.mktemp("network")
    torch.manual_seed(0)
    build(LAYOUT).save_pretrained(path)
    return path


@pytest.fixture
def unet(folder):
    return UNet.from_pretrained(folder)


def output(network):
    with torch.no_grad():
        return network(**inputs(LAYOUT)).sample


def trained(unet, config):
    """With adapters that add something."""
    add_lora(unet, config)
    for tensor in lora_tensors(unet).values():
        torch.nn.init.normal_(tensor, std=0.2)
    return unet.eval()


def test_new_adapters_add_nothing_and_are_all_that_is_trained(unet):
    plain = output(unet)
    add_lora(unet.train(), LoraConfig(rank=3))
    assert torch.equal(output(unet), plain)
    assert has_lora(unet)
    names = [name for name, parameter in unet.named_parameters() if parameter.requires_grad]
    assert len(names) == len(lora_tensors(unet)) > 0
    assert all(".lora_" in name for name in names)


def test_the_targets_are_patterns_of_linear_layers_and_convolutions(unet):
    add_lora(unet, LoraConfig(rank=2, targets=("mid_block", "to_q", "down_blocks.0.*.conv1")))
    adapted = {name.partition(".lora_")[0] for name in lora_tensors(unet)}
    outside = {name for name in adapted if not name.startswith("mid_block.")}
    assert {name.rpartition(".")[2] for name in outside} == {"to_q", "conv1"}
    assert all(name.startswith("down_blocks.0.") for name in outside if name.endswith("conv1"))
    assert {"mid_block.resnets.0.time_emb_proj", "mid_block.attentions.0.proj_in"} <= adapted


@pytest.mark.parametrize("alpha", [None, 1.5])
@pytest.mark.parametrize("targets", [("to_q", "to_out.0"), ("conv1", "conv_in", "time_embedding", "to_k")], ids=repr)
def test_the_file_gives_diffusers_class_the_same_output(unet, folder, tmp_path, targets, alpha):
    plain, unet = output(unet), trained(unet, LoraConfig(rank=3, alpha=alpha, targets=targets, dropout=0.5))
    save_lora(tmp_path, unet)
    theirs = build(LAYOUT).from_pretrained(folder)
    theirs.load_lora_adapter(tmp_path, weight_name=LORA_FILE, prefix="unet")
    scale = (plain - output(unet)).abs().max()
    assert scale > 0.1
    assert (output(theirs) - output(unet)).abs().max() <= TOLERANCE * scale.clamp(min=1)


def test_the_file_is_what_diffusers_writes(unet, tmp_path):
    add_lora(unet, LoraConfig(rank=2, alpha=5.0, targets=("mid_block.*.to_q",)))
    save_lora(tmp_path, unet)
    with safe_open(tmp_path / LORA_FILE, framework="pt") as file:
        assert all(name.startswith("unet.mid_block.") for name in file.keys())  # noqa: SIM118  # no mapping
        assert {name.partition(".to_q.")[2] for name in file.keys()} == {"lora_A.weight", "lora_B.weight"}  # noqa: SIM118
        facts = json.loads(file.metadata()["lora_adapter_metadata"])
    assert (facts["unet.r"], facts["unet.lora_alpha"], facts["unet.lora_dropout"]) == (2, 5.0, 0.0)


def test_a_fused_lora_leaves_an_ordinary_network(unet, folder, tmp_path):
    save_lora(tmp_path / "model", trained(unet, LoraConfig(rank=3, alpha=2.0)))
    fused = UNet.from_pretrained(folder)
    plain, keys = output(fused), list(fused.state_dict())
    fuse_lora(fused, tmp_path)
    scale = (output(unet) - plain).abs().max().clamp(min=1)
    assert (output(fused) - output(unet)).abs().max() <= TOLERANCE * scale
    assert list(fused.state_dict()) == keys
    assert not has_lora(fused)


def test_the_scale_multiplies_what_is_added(unet, folder, tmp_path):
    """B A alpha / r in float64, for a convolution and a linear layer."""
    targets = ("conv_in", "time_embedding.linear_1")
    save_lora(tmp_path, trained(unet, LoraConfig(rank=2, alpha=3.0, targets=targets)))
    base, fused = UNet.from_pretrained(folder).state_dict(), UNet.from_pretrained(folder)
    fuse_lora(fused, tmp_path, scale=-0.5)
    tensors = {name: tensor.double() for name, tensor in load_file(tmp_path / LORA_FILE).items()}
    for name in targets:
        A, B = (tensors[f"unet.{name}.lora_{side}.weight"].flatten(1) for side in "AB")
        expected = base[f"{name}.weight"].double() + -0.5 * (3 / 2) * (B @ A).reshape(base[f"{name}.weight"].shape)
        assert torch.allclose(fused.state_dict()[f"{name}.weight"].double(), expected, rtol=0, atol=1e-6)


def test_a_lora_of_diffusers_is_fused_too(unet, folder, tmp_path):
    from diffusers import StableDiffusionPipeline

    theirs = build(LAYOUT).from_pretrained(folder)
    theirs.add_adapter(PeftConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_v"]))
    layers = get_peft_model_state_dict(theirs)
    StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers=layers)
    fuse_lora(unet, tmp_path / LORA_FILE)
    assert (output(unet) - output(theirs)).abs().max() <= TOLERANCE


def test_what_is_no_lora_for_this_network_is_refused_and_nothing_is_changed(unet, tmp_path):
    before = output(unet)
    cases = {
        "other": {"unet.nowhere.lora_A.weight": torch.zeros(2, 4), "unet.nowhere.lora_B.weight": torch.zeros(4, 2)},
        "text": {"text_encoder.x.lora_A.weight": torch.zeros(2, 4), "text_encoder.x.lora_B.weight": torch.zeros(4, 2)},
        "wide": {
            "unet.conv_in.lora_A.weight": torch.zeros(2, 9, 3, 3),
            "unet.conv_in.lora_B.weight": torch.zeros(4, 2, 1, 1),
        },
    }
    for name, tensors in cases.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
        with pytest.raises(InputError, match=rf"{name}.safetensors: a LoRA for this network expected, got"):
            fuse_lora(unet, tmp_path / f"{name}.safetensors")
        assert torch.equal(output(unet), before)
        assert not has_lora(unet)
    (tmp_path / "broken.safetensors").write_bytes((tmp_path / "other.safetensors").read_bytes()[:-4])
    with pytest.raises(InputError, match=r"broken.safetensors: a LoRA for this network expected"):
        fuse_lora(unet, tmp_path / "broken.safetensors")
    with pytest.raises(InputError, match=r"a LoRA file or a folder with .* expected, got neither"):
        find_lora(tmp_path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rank": 0}, "lora.rank"),
        ({"alpha": 0.0}, "lora.alpha"),
        ({"targets": ()}, "lora.targets"),
        ({"dropout": 1.0}, "lora.dropout"),
    ],
)
def test_bad_fields_are_named(fields, words):
    with pytest.raises(ValueError, match=words):
        LoraConfig(**fields)


def test_without_peft_it_is_asked_for(unet, monkeypatch):
    monkeypatch.setattr("unetdiff.lora.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"expected the package peft, .* install unetdiff\[lora\]"):
        add_lora(unet, LoraConfig())
