"""Latents are those of diffusers' pipelines, there and back."""

import json
import re

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionXLImg2ImgPipeline

from benchmarks.layouts import randomise
from unetdiff.errors import InputError
from unetdiff.latents import load_codec

TOLERANCE = 2e-6  # of numbers near 1, where batches differ: the pipeline encodes one by one

SCALING = {"scaling_factor": 0.13025}
SHIFT = {"scaling_factor": 1.5305, "shift_factor": 0.0609}
CHANNELS = {
    "scaling_factor": 0.5,
    "latents_mean": [-1.6574, 1.886, -1.383, 2.5155],
    "latents_std": [8.4927, 5.9022, 6.5498, 5.2299],
}

every_normalisation = pytest.mark.parametrize(
    "normalisation", [SCALING, SHIFT, CHANNELS], ids=["scaling", "shift", "channels"]
)


@pytest.fixture
def autoencoder(tmp_path):
    """Give a function that saves one of random weights, made for 16 pixels, into a pipeline's folder."""

    def save(normalisation=SCALING):
        model = AutoencoderKL(
            block_out_channels=(8, 8, 8),
            norm_num_groups=4,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            latent_channels=4,
            sample_size=16,
            **normalisation,
        ).eval()
        randomise(model)
        model.save_pretrained(tmp_path / "vae")
        return model

    return save


def pictures(height=12, width=20):
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def latents(height=3, width=5):
    return torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(2))


def inner(x, normalisation):
    """What the pipelines of Stable Diffusion, Stable Diffusion 3 and Stable Diffusion XL give their decoders."""
    if normalisation is CHANNELS:
        mean, std = (torch.tensor(CHANNELS[name]).view(1, 4, 1, 1) for name in ("latents_mean", "latents_std"))
        return x * std / 0.5 + mean
    return x / normalisation["scaling_factor"] + normalisation.get("shift_factor", 0)


def test_a_folder_without_autoencoder_has_no_codec(tmp_path):
    assert load_codec(tmp_path) is None


def test_shape_and_factor_are_the_autoencoders(autoencoder, tmp_path):
    model = autoencoder()
    codec = load_codec(tmp_path)
    assert (codec.channels, codec.factor) == (4, 4)
    assert codec.encode(pictures()).shape == (2, 4, 3, 5)
    assert codec.decode(latents()).shape == (2, 3, 12, 20)
    assert not codec.model.training
    assert not any(parameter.requires_grad for parameter in codec.model.parameters())
    assert all(torch.equal(codec.model.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


@every_normalisation
def test_decoding_is_the_pipelines(normalisation, autoencoder, tmp_path):
    autoencoder(normalisation)
    codec = load_codec(tmp_path)
    expected = codec.model.decode(inner(latents(), normalisation)).sample
    assert expected.abs().max() > 1, "nothing to clamp"
    assert torch.equal(codec.decode(latents()), expected.clamp(-1, 1))


@every_normalisation
def test_encoding_undoes_the_normalisation_of_decoding(normalisation, autoencoder, tmp_path):
    autoencoder(normalisation)
    codec = load_codec(tmp_path)
    posterior = codec.model.encode(pictures()).latent_dist
    torch.testing.assert_close(inner(codec.encode(pictures()), normalisation), posterior.mode(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("normalisation", [SCALING, CHANNELS], ids=["scaling", "channels"])
@pytest.mark.parametrize("each", [False, True], ids=["one generator", "one for each"])
def test_encoding_is_the_pipelines(each, normalisation, autoencoder, tmp_path):
    def draws():
        return [torch.Generator().manual_seed(seed) for seed in (5, 6)] if each else torch.Generator().manual_seed(5)

    autoencoder(normalisation)
    codec = load_codec(tmp_path)
    pipeline = StableDiffusionXLImg2ImgPipeline(
        vae=codec.model,
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
        unet=None,
        scheduler=None,
        add_watermarker=False,
    )
    expected = pipeline.prepare_latents(pictures(), None, 2, 1, torch.float32, "cpu", draws(), add_noise=False)
    encoded = codec.encode(pictures(), draws())
    assert (encoded - expected).abs().max() <= (TOLERANCE if each else 0)
    assert (encoded - codec.encode(pictures())).abs().max() > 0.01


def test_a_picture_with_its_own_generator_does_not_depend_on_its_batch(autoencoder, tmp_path):
    autoencoder()
    codec = load_codec(tmp_path)
    both = codec.encode(pictures(), [torch.Generator().manual_seed(seed) for seed in (5, 6)])
    alone = codec.encode(pictures()[1:], [torch.Generator().manual_seed(6)])
    torch.testing.assert_close(both[1:], alone, rtol=1e-5, atol=1e-6)


def test_tiles_are_diffusers_and_for_large_pictures_alone(autoencoder, tmp_path):
    autoencoder()
    whole, tiled = load_codec(tmp_path), load_codec(tmp_path, tiled=True)
    large, small = latents(9, 7), latents(4, 4)
    decoded = tiled.decode(large)
    assert torch.equal(decoded, tiled.model.tiled_decode(large / 0.13025).sample.clamp(-1, 1))
    assert (decoded - whole.decode(large)).abs().max() > 0.01
    assert torch.equal(tiled.decode(small), whole.decode(small))
    assert tiled.encode(pictures(36, 28)).shape == (2, 4, 9, 7)


def test_gradients_reach_the_latents(autoencoder, tmp_path):
    autoencoder()
    x = (latents() * 1e-3).requires_grad_()
    load_codec(tmp_path).decode(x).sum().backward()
    assert (x.grad != 0).all()


def test_double_precision_is_taken(autoencoder, tmp_path):
    autoencoder()
    codec = load_codec(tmp_path)
    assert torch.equal(codec.decode(latents().double()), codec.decode(latents()))


class TestRefusals:
    @pytest.mark.parametrize("shape", [(2, 3, 4, 4), (4, 4, 4)], ids=str)
    def test_latents_of_another_shape(self, shape, autoencoder, tmp_path):
        autoencoder()
        with pytest.raises(ValueError, match=r"^latents: expected \(N, 4, H, W\), got " + re.escape(str(shape))):
            load_codec(tmp_path).decode(torch.zeros(shape))

    def test_pictures_that_no_latents_stand_for(self, autoencoder, tmp_path):
        autoencoder()
        with pytest.raises(ValueError, match=r"^images: expected multiples of 4 pixels, got \(12, 18\)$"):
            load_codec(tmp_path).encode(pictures(12, 18))
        with pytest.raises(ValueError, match=r"^images: expected \(N, 3, H, W\), got \(2, 1, 12, 20\)$"):
            load_codec(tmp_path).encode(pictures()[:, :1])

    def test_another_class(self, autoencoder, tmp_path):
        autoencoder()
        file = tmp_path / "vae" / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"_class_name": "VQModel"}))
        with pytest.raises(InputError, match="vae: the class AutoencoderKL expected, got VQModel"):
            load_codec(tmp_path)

    def test_weights_that_do_not_fit(self, autoencoder, tmp_path):
        autoencoder()
        file = tmp_path / "vae" / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"layers_per_block": 2}))
        with pytest.raises(InputError, match=r"vae: weights that fit the configuration expected, got \d+ missing"):
            load_codec(tmp_path)

    @pytest.mark.parametrize("name", ["config.json", "diffusion_pytorch_model.safetensors"])
    def test_missing_and_damaged_files(self, name, autoencoder, tmp_path):
        autoencoder()
        file = tmp_path / "vae" / name
        file.write_bytes(file.read_bytes()[:-9])
        with pytest.raises(InputError, match="vae"):
            load_codec(tmp_path)
        file.unlink()
        with pytest.raises(InputError, match="vae"):
            load_codec(tmp_path)
