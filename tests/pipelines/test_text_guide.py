"""Text to image with our samplers gives the pipelines' own pictures; the guide to it runs."""

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler

import samplers
from unetdiff.latents import load_codec
from unetdiff.model_folder import load_model
from unetdiff.text import Framing, load_text

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-5  # of pixels from 0 to 1, after a few steps in float32
PROMPTS = ["a red fox", "a cat"]
WEIGHT = 4.0
STEPS = 5


@pytest.fixture
def start():
    return torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(3))


def their_picture(pipeline, start, **arguments):
    """(N, 3, H, W) from 0 to 1."""
    pipeline.set_progress_bar_config(disable=True)
    pictures = pipeline(
        PROMPTS, latents=start, num_inference_steps=STEPS, guidance_scale=WEIGHT, output_type="pt", **arguments
    ).images
    assert pictures.std() > 0.05, "a comparison of nearly nothing"
    return pictures


def our_picture(folder, start, sampler, spacing, framing=None, negative=None, last_sigma=None):
    """The same from the files of the pipeline, without the pipeline; `last_sigma` is the timestep to end at."""
    denoiser, _ = load_model(folder)
    text, codec = load_text(folder), load_codec(folder)
    poorer = text.unconditional(framing) if negative is None else text.encode([negative], framing)
    guidance = samplers.Guidance(weight=WEIGHT)
    denoise = samplers.guided_in_one_call(denoiser, text.encode(PROMPTS, framing), poorer, guidance)
    table = denoiser.preconditioning.schedule.sigmas
    sigmas = samplers.uniform_timesteps(table, STEPS, spacing, offset=1)
    if last_sigma is not None:
        sigmas[-1] = table[last_sigma]
    x = samplers.sample(denoise, (1 + sigmas[0] ** 2).sqrt().float() * start, sigmas, sampler)
    return (codec.decode(x / (1 + sigmas[-1] ** 2).sqrt().float()) + 1) / 2


@pytest.mark.parametrize("bench", ["StableDiffusionPipeline"], indirect=True)
@pytest.mark.parametrize(
    ("settings", "last_sigma"),
    [
        ({}, None),
        ({"set_alpha_to_one": False}, 0),
        ({"timestep_spacing": "trailing"}, None),
        ({"prediction_type": "v_prediction"}, None),
    ],
    ids=["leading", "as published", "trailing", "velocity"],
)
def test_stable_diffusion_with_ddim(settings, last_sigma, bench, start, tmp_path):
    pipeline = bench.pipeline(bench.theirs)
    pipeline.scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1, **settings
    )
    pipeline.save_pretrained(tmp_path)
    theirs = their_picture(pipeline, start)
    spacing = settings.get("timestep_spacing", "leading")
    ours = our_picture(tmp_path, start, samplers.DDIM(), spacing, last_sigma=last_sigma)
    assert (ours - theirs).abs().max() <= TOLERANCE


@pytest.mark.parametrize("bench", ["StableDiffusionXLPipeline"], indirect=True)
@pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # NumPy about diffusers
@pytest.mark.parametrize("negative", [None, "a dog"], ids=["no negative prompt", "negative prompt"])
def test_stable_diffusion_xl_with_euler(negative, bench, start, tmp_path):
    pipeline = bench.pipeline(bench.theirs)
    pipeline.scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="leading",
        steps_offset=1,
    )
    pipeline.save_pretrained(tmp_path)
    framing = Framing(target=(32, 32), original=(64, 48), crop=(3, 5))
    theirs = their_picture(
        pipeline,
        start,
        negative_prompt=None if negative is None else [negative] * 2,
        original_size=framing.original,
        crops_coords_top_left=framing.crop,
        target_size=framing.target,
        negative_original_size=framing.original,
        negative_crops_coords_top_left=framing.crop,
        negative_target_size=framing.target,
    )
    ours = our_picture(tmp_path, start, samplers.Euler(), "leading", framing, negative)
    assert (ours - theirs).abs().max() <= TOLERANCE


@pytest.mark.parametrize("bench", ["StableDiffusionXLPipeline"], indirect=True)
def test_the_guide_to_text_to_image(bench, run_page, tmp_path):
    bench.pipeline(bench.theirs).save_pretrained(tmp_path / "stable-diffusion-xl")
    run_page(ROOT / "docs" / "guides" / "text-to-image.md")
    assert (tmp_path / "animal-1.png").exists()
