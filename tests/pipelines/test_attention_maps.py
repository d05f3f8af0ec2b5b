"""Attention maps of our network in diffusers' pipelines, which put the conditional half last."""

import pytest
import torch

from unetdiff.features.attention_maps import AttentionMaps


def first_step(bench, guidance_scale, **chosen):
    """Maps of the first step, whose latents do not depend on guidance."""
    pipeline = bench.pipeline(bench.ours)
    pipeline.set_progress_bar_config(disable=True)
    maps = AttentionMaps(images=1, **chosen)
    with maps.reading(pipeline.unet):
        pipeline(
            num_inference_steps=1,
            guidance_scale=guidance_scale,
            output_type="latent",
            generator=torch.Generator().manual_seed(3),
            **bench.arguments,
        )
    return maps.pooled()


@pytest.mark.parametrize("bench", ["StableDiffusionPipeline", "StableDiffusionXLPipeline"], indirect=True)
def test_the_last_half_of_a_pipelines_rows_is_told_the_prompt(bench):
    alone = first_step(bench, guidance_scale=1.0)
    torch.testing.assert_close(first_step(bench, 7.5, conditional="last"), alone, rtol=0, atol=1e-6)
    assert (first_step(bench, 7.5, conditional="first") - alone).abs().max() > 1e-4
