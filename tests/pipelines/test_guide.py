"""The guides that begin with pretrained networks run, on files as they suppose them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import save_file

from benchmarks.layouts import build

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"


def weights(name):
    """The foreign state dict of a golden file, and its network's arguments."""
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        found = {key[4:]: file.get_tensor(key) for key in file.keys() if key.startswith("net.")}  # noqa: SIM118
        return found, json.loads(file.metadata()["network"])


def save_lora(unet, folder):
    unet.add_adapter(LoraConfig(r=2, init_lora_weights="gaussian", target_modules=["to_q", "to_v"]))
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)


@pytest.mark.parametrize("bench", ["StableDiffusionPipeline"], indirect=True)
def test_the_guide_to_pretrained_networks(bench, run_page, tmp_path):
    bench.pipeline(bench.theirs).save_pretrained(tmp_path / "stable-diffusion")
    unconditional = build("DDPM (google/ddpm-cifar10-32)")
    DDPMPipeline(unet=unconditional, scheduler=DDPMScheduler()).save_pretrained(tmp_path / "ddpm-cifar10")
    save_lora(build("Stable Diffusion 1.5"), tmp_path / "lora")
    shutil.copy(GOLDEN / "edm_snapshot.pkl", tmp_path / "network-snapshot.pkl")
    save_file(weights("edm_adm_class")[0], tmp_path / "edm.safetensors")
    checkpoint, network = weights("guided_adm_class")
    torch.save(checkpoint, tmp_path / "diffusion.pt")
    (tmp_path / "network.json").write_text(json.dumps(network))
    run_page(ROOT / "docs" / "guides" / "pretrained.md")
    pictures = [f"samples/{model}/grid.png" for model in ("ddpm", "edm", "guided")]
    written = ["mine", *pictures, "edm.svg", "unet.svg"]
    assert [name for name in written if not (tmp_path / name).exists()] == []


@pytest.mark.parametrize("bench", ["StableDiffusionPipeline"], indirect=True)
def test_the_guide_to_skip_tuning(bench, run_page, tmp_path):
    bench.pipeline(bench.theirs).save_pretrained(tmp_path / "stable-diffusion")
    shutil.copy(GOLDEN / "edm_snapshot.pkl", tmp_path / "network-snapshot.pkl")
    run_page(ROOT / "docs" / "guides" / "skip-tuning.md")
    assert (tmp_path / "folded" / "config.json").exists()
