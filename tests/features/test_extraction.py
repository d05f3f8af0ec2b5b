"""Features are those of the network at that noise, whatever the batch, and the network is left as it was."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.features.cell import Cell
from unetdiff.features.extraction import Extractor
from unetdiff.features.settings import FeatureSettings
from unetdiff.preconditioning import EDM

PROMPT = torch.linspace(-1, 1, 30).reshape(1, 5, 6)
TAPS = ("up_blocks.0.resnets.0:input", "conv_in", "mid_block.attentions.0.transformer_blocks.0.attn2")
PROBABILITIES = "mid_block.attentions.0.transformer_blocks.0.attn2:probabilities"
SETTINGS = FeatureSettings(taps=TAPS, sigmas=(0.1, 1.5))


@pytest.fixture
def denoiser(unet):
    return Denoiser(unet, EDM())


@pytest.fixture(scope="module")
def images():
    return torch.rand(64, 2, 8, 8, generator=torch.Generator().manual_seed(2)) * 2 - 1


def condition(count):
    return {"encoder_hidden_states": PROMPT.expand(count, -1, -1), "class_labels": torch.full((count,), -1)}


def extract(denoiser, images, settings=SETTINGS, rows=None):
    rows = np.arange(len(images)) if rows is None else rows
    extractor = Extractor(denoiser=denoiser, shape=(2, 8, 8), settings=settings)
    return extractor(images, rows, condition(len(images)))


def test_features_of_clean_images_are_what_the_network_computes(denoiser, images):
    features = extract(denoiser, images[:4], replace(SETTINGS, noisy=False, pool="none", taps=TAPS[:2]))
    for cell, value in features.items():
        p, x = denoiser.preconditioning, images[:4]
        scaled, told = p.c_in(cell.sigma) * x, torch.tensor(p.c_noise(cell.sigma))
        output = denoiser.unet(scaled, told, **condition(4), capture=[cell.tap])
        assert np.array_equal(value, output.features[cell.tap].numpy()), cell
    assert list(features) == [Cell(tap, sigma) for tap in TAPS[:2] for sigma in (0.1, 1.5)]


@pytest.mark.parametrize("batch", [1, 7])
def test_features_do_not_depend_on_the_batch(denoiser, images, batch):
    """Rounding differs between batch sizes: 7e-7 of the greatest feature was measured, 6e-7 with the shipped model."""
    whole = extract(denoiser, images)
    parts = [
        extract(denoiser, images[start : start + batch], rows=np.arange(64)[start : start + batch])
        for start in range(0, 64, batch)
    ]
    for cell, value in whole.items():
        joined = np.concatenate([part[cell] for part in parts])
        assert np.abs(joined - value).max() < 2e-6 * np.abs(value).max(), cell
        assert len(np.unique(value.reshape(64, -1), axis=0)) == 64


def test_noise_belongs_to_the_image_and_the_seed(denoiser, images):
    rows = np.array([5, 3])
    both = extract(denoiser, images[rows], rows=rows)
    again = extract(denoiser, images[rows], rows=rows)
    others = extract(denoiser, images[rows], rows=rows + 1)
    seeded = extract(denoiser, images[rows], replace(SETTINGS, seed=1), rows=rows)
    for cell, value in both.items():
        assert np.array_equal(value, again[cell])
        assert not np.allclose(value, others[cell])
        assert not np.allclose(value, seeded[cell])


def test_noise_has_the_standard_deviation_sigma(denoiser):
    grey, settings = torch.zeros(64, 2, 8, 8), FeatureSettings(taps=("conv_in:input",), sigmas=(0.1, 2.0), pool="none")
    for cell, value in extract(denoiser, grey, settings).items():
        noise = value / denoiser.preconditioning.c_in(cell.sigma)
        assert noise.std() == pytest.approx(cell.sigma, rel=0.03)  # of 8192 numbers: 0.8% is one standard error


def test_an_ensemble_is_the_mean_over_its_noises(denoiser, images):
    one, two, four = (
        extract(denoiser, images[:8], replace(SETTINGS, ensemble=k, taps=("conv_in:input",), pool="none"))
        for k in (1, 2, 4)
    )
    for cell, value in two.items():
        x = denoiser.preconditioning.c_in(cell.sigma) * images[:8].numpy()
        noise = [np.std(features[cell] - x) for features in (one, two, four)]
        assert noise[0] / noise[1] == pytest.approx(2**0.5, rel=0.1)  # of 1024 numbers
        assert noise[1] / noise[2] == pytest.approx(2**0.5, rel=0.1)
        second = 2 * value - one[cell]  # the first noise is the same
        assert np.std(second - x) == pytest.approx(noise[0], rel=0.1)


def test_one_run_for_each_noise_level_and_noise_stops_behind_the_last_tap(denoiser, images):
    calls = []
    hooks = [
        denoiser.unet.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.append(name))
        for name in ("conv_in", "up_blocks.0.resnets.0", "up_blocks.0.resnets.1")
    ]
    extract(denoiser, images[:2], replace(SETTINGS, ensemble=3))
    for hook in hooks:
        hook.remove()
    assert calls == ["conv_in", "up_blocks.0.resnets.0"] * 6


@pytest.mark.parametrize("fails", [False, True])
def test_dropout_is_off_and_the_modes_are_restored(denoiser, images, fails):
    expected = extract(denoiser, images[:2])
    denoiser = deepcopy(denoiser)
    unet = denoiser.unet
    unet.train()
    unet.mid_block.eval()
    modes = {name: module.training for name, module in unet.named_modules()}
    for module in unet.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    if fails:
        with pytest.raises(InputError):
            extract(denoiser, images[:2] * torch.nan)
    else:
        features = extract(denoiser, images[:2])
        assert all(np.array_equal(value, expected[cell]) for cell, value in features.items())
    assert modes == {name: module.training for name, module in unet.named_modules()}
    assert not unet._forward_hooks


def test_float16_is_the_same_rounded(denoiser, images):
    full, half = extract(denoiser, images[:4]), extract(denoiser, images[:4], replace(SETTINGS, dtype="float16"))
    for cell, value in half.items():
        assert value.dtype == np.float16
        assert np.array_equal(value, full[cell].astype(np.float16))


def test_what_is_not_finite_is_named(denoiser, images):
    broken = images[:4].clone()
    broken[2, 0, 3, 3] = torch.nan
    message = r"features: finite numbers in float32 expected, got others in up_blocks.*:input at sigma 0.1, image 12"
    with pytest.raises(InputError, match=message):
        extract(denoiser, broken, rows=np.arange(10, 14))
    huge = replace(SETTINGS, noisy=False, dtype="float16", taps=("conv_in",), sigmas=(1.0,))
    with pytest.raises(InputError, match="features: finite numbers in float16 expected, got others in conv_in"):
        extract(denoiser, images[:1] * 1e7, huge)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"taps": ("conv_on",)}, "taps: expected feature maps of this network, got conv_on"),
        ({"taps": (PROBABILITIES,)}, "taps: expected feature maps of this network, got mid_block.*:probabilities"),
        ({"taps": ()}, "taps: expected one or more, each once"),
        ({"taps": ("conv_in", "conv_in")}, "taps: expected one or more, each once"),
        ({"sigmas": (0.0, 1.0)}, "sigmas: expected positive numbers"),
        ({"ensemble": 2, "noisy": False}, "ensemble: expected 1 for clean images, which have no noise, got 2"),
        ({"pool": "max"}, "pool: expected mean, none or"),
        ({"dtype": "bfloat16"}, "dtype: expected float16 or float32"),
    ],
)
def test_refusals(denoiser, images, change, message):
    with pytest.raises(ValueError, match=message):
        extract(denoiser, images[:1], replace(SETTINGS, **change))


def test_images_of_another_shape_are_refused(denoiser, images):
    with pytest.raises(InputError, match=r"images: expected the shape \(2, 8, 8\), got \(1, 8, 8\)"):
        extract(denoiser, images[:2, :1])
