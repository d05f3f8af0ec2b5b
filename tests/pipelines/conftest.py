"""Pipelines of diffusers with tiny components, made on the spot around a network of either class."""

import json
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, DDPMScheduler, DiffusionPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from benchmarks.layouts import build
from unetdiff.unet import UNet

LAYOUTS = {
    "DDPMPipeline": "DDPM (google/ddpm-cifar10-32)",
    "DDIMPipeline": "diffusers' default, attention at all levels",
    "StableDiffusionPipeline": "Stable Diffusion 1.5",
    "StableDiffusionImg2ImgPipeline": "Stable Diffusion 1.5",
    "StableDiffusionControlNetPipeline": "Stable Diffusion 1.5",
    "StableDiffusionXLPipeline": "SDXL base",
}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A pipeline's class, its components without the network, its arguments, and the network as both classes."""

    kind: type[DiffusionPipeline]
    components: dict[str, Any]
    arguments: dict[str, Any]
    theirs: torch.nn.Module
    ours: UNet

    def pipeline(self, unet):
        return self.kind(unet=unet, **self.components)

    def image(self, pipeline, **arguments):
        """The first image, (H, W, C) from 0 to 1."""
        pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(3)
        result = pipeline(
            num_inference_steps=2, output_type="np", generator=generator, **self.arguments, **arguments
        ).images[0]
        assert np.isfinite(result).all()
        assert result.std() > 0.05, "a comparison of nearly nothing"
        return result


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """Letters, each alone and at the end of a word."""
    folder = tmp_path_factory.mktemp("tokenizer")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=12)


def text_encoder(kind, width):
    torch.manual_seed(width)
    config = CLIPTextConfig(
        vocab_size=54,
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
        projection_dim=20,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return kind(config).eval()


@pytest.fixture(scope="session")
def vae():
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
    ).eval()


def control_net(unet):
    """One of random weights beside a network: the untrained one would add zeros."""
    control = ControlNetModel.from_unet(unet.to_diffusers(), conditioning_embedding_out_channels=(8, 8)).eval()
    torch.manual_seed(2)
    for parameter in control.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return control


def stable_diffusion(vae, tokenizer):
    return {
        "vae": vae,
        "text_encoder": text_encoder(CLIPTextModel, 24),
        "tokenizer": tokenizer,
        "scheduler": DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def stable_diffusion_xl(vae, tokenizer):
    return {
        "vae": vae,
        "text_encoder": text_encoder(CLIPTextModel, 8),
        "text_encoder_2": text_encoder(CLIPTextModelWithProjection, 16),
        "tokenizer": tokenizer,
        "tokenizer_2": tokenizer,
        "scheduler": DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1),
    }


@pytest.fixture(scope="session")
def bench(request, tokenizer, vae, tmp_path_factory):
    """The `Bench` of the pipeline class that a test's parameter names."""
    name, folder = request.param, tmp_path_factory.mktemp("unet")
    with torch.random.fork_rng():
        theirs = build(LAYOUTS[name])
        theirs.save_pretrained(folder)
        ours = UNet.from_pretrained(folder)
        picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(7))
        components, arguments = stable_diffusion(vae, tokenizer), {"prompt": "a red fox"}
        match name:
            case "DDPMPipeline":
                components, arguments = {"scheduler": DDPMScheduler(clip_sample=False)}, {}
            case "DDIMPipeline":
                components, arguments = {"scheduler": DDIMScheduler(clip_sample=False)}, {}
            case "StableDiffusionImg2ImgPipeline":
                arguments["image"] = picture
            case "StableDiffusionControlNetPipeline":
                components["controlnet"] = control_net(ours)
                arguments["image"] = picture
            case "StableDiffusionXLPipeline":
                components = stable_diffusion_xl(vae, tokenizer)
    kind = getattr(diffusers, name)
    return Bench(kind=kind, components=components, arguments=arguments, theirs=theirs, ours=ours)
