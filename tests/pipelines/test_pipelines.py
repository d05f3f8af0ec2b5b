"""Our network in diffusers' pipelines: their image, and the way through their folders."""

import numpy as np
import pytest
from diffusers import DiffusionPipeline

from unetdiff.unet import UNet

TOLERANCE = 1e-5  # of images from 0 to 1, after two steps in float32

PIPELINES = (
    "DDPMPipeline",
    "DDIMPipeline",
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionControlNetPipeline",
    "StableDiffusionXLPipeline",
)


@pytest.mark.parametrize("bench", PIPELINES, indirect=True)
class TestPipelines:
    def test_the_image_is_that_of_diffusers_class(self, bench):
        expected = bench.image(bench.pipeline(bench.theirs))
        assert np.abs(bench.image(bench.pipeline(bench.ours)) - expected).max() <= TOLERANCE

    def test_a_saved_pipeline_comes_back_with_our_class_and_the_same_image(self, bench, tmp_path):
        pipeline = bench.pipeline(bench.ours)
        pipeline.save_pretrained(tmp_path)
        loaded = DiffusionPipeline.from_pretrained(tmp_path)
        assert type(loaded) is bench.kind
        assert type(loaded.unet) is UNet
        assert loaded.unet.config == bench.ours.config
        assert np.array_equal(bench.image(loaded), bench.image(pipeline))

    def test_our_network_in_a_folder_of_diffusers(self, bench, tmp_path):
        bench.pipeline(bench.theirs).save_pretrained(tmp_path)
        loaded = bench.kind.from_pretrained(tmp_path, unet=UNet.from_pretrained(tmp_path))
        assert type(loaded.unet) is UNet
        assert np.array_equal(bench.image(loaded), bench.image(bench.pipeline(bench.ours)))


@pytest.mark.parametrize("bench", ["StableDiffusionControlNetPipeline"], indirect=True)
def test_the_control_net_reaches_the_network(bench):
    pipeline = bench.pipeline(bench.ours)
    without = bench.image(pipeline, controlnet_conditioning_scale=0.0)
    assert np.abs(bench.image(pipeline) - without).max() > 0.01


@pytest.mark.parametrize("bench", ["StableDiffusionPipeline"], indirect=True)
def test_a_rectangular_sample_size_is_the_size_of_the_image(bench):
    config = bench.ours.config.to_dict() | {"sample_size": [8, 12]}
    unet = UNet.from_config(config)
    unet.load_state_dict(bench.ours.state_dict())
    assert bench.image(bench.pipeline(unet.eval())).shape == (16, 24, 3)
