"""Diagnostics of skips against closed forms."""

import itertools
import math

import pytest
import torch

from benchmarks.layouts import randomise
from unetdiff.config import LevelConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.preconditioning import EDM
from unetdiff.skip_diagnostics import denoising_losses, mmd_squared, skip_ratios
from unetdiff.unet import UNet


@pytest.fixture
def denoiser():
    config = UNetConfig(levels=(LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1)))
    unet = UNet(config).eval()
    randomise(unet)
    return Denoiser(unet, EDM())


def rms(x):
    return x.flatten(1).square().sum(dim=1).sqrt()


class TestSkipRatios:
    def test_are_norms_of_the_feature_maps(self, denoiser):
        """The outermost skip is the stem's output, its main path that of the block before."""
        images, noise = torch.randn(2, 3, 3, 8, 8)
        maps = {}
        for name in ("conv_in", "up_blocks.1.resnets.0", "down_blocks.1.resnets.0", "mid_block.resnets.1"):
            denoiser.unet.get_submodule(name).register_forward_hook(
                lambda module, args, out, name=name: maps.setdefault(name, out)
            )
        ratios = skip_ratios(denoiser, images, noise, [0.5, 5.0])
        assert ratios.shape == (2, 4)
        outermost = (rms(maps["conv_in"]) / rms(maps["up_blocks.1.resnets.0"])).mean()
        innermost = (rms(maps["down_blocks.1.resnets.0"]) / rms(maps["mid_block.resnets.1"])).mean()
        torch.testing.assert_close(ratios[0, -1], outermost)
        torch.testing.assert_close(ratios[0, 0], innermost)

    def test_depend_on_the_noise_level_and_scale_with_the_skips(self, denoiser):
        images, noise = torch.randn(2, 3, 3, 8, 8)
        plain = skip_ratios(denoiser, images, noise, [0.5, 5.0])
        assert not torch.allclose(plain[0], plain[1], rtol=1e-2)
        tuned = skip_ratios(denoiser, images, noise, [0.5, 5.0], skip_scale={"conv_in": 0.1})
        torch.testing.assert_close(tuned, plain)  # the outermost factor has no join behind it


class TestDenoisingLosses:
    def test_of_a_gaussian_prior(self):
        """D = x / (1 + sigma^2) is exact for x0 ~ N(0, 1): its error is sigma^2 / (1 + sigma^2) per number."""
        images, noise = torch.randn(2, 400, 2, 8, 8, dtype=torch.float64)
        sigmas = [0.1, 1.0, 10.0]
        spaces = {"pixels": lambda x: x, "mean": lambda x: x.flatten(1).mean(dim=1, keepdim=True)}
        losses = denoising_losses(lambda x, sigma: x / (1 + sigma**2), images, noise, sigmas, spaces)
        numbers = images[0].numel()
        for space, expected, draws in (("pixels", numbers, images.numel()), ("mean", 1 / numbers, len(images))):
            for sigma, loss in zip(sigmas, losses[space], strict=True):
                four_errors = 4 * math.sqrt(2 / draws)  # of a mean of squared normal draws
                assert float(loss) == pytest.approx(expected * sigma**2 / (1 + sigma**2), rel=four_errors)

    def test_a_known_error_exactly(self):
        images, noise = torch.randn(2, 3, 1, 4, 4)
        spaces = {"pixels": lambda x: x, "doubled": lambda x: 2 * x}
        losses = denoising_losses(lambda x, sigma: x + 2, images, noise, [0.5], spaces)
        expected = (0.5 * noise + 2).square().sum(dim=(1, 2, 3)).mean()
        torch.testing.assert_close(losses["pixels"][0], expected)
        torch.testing.assert_close(losses["doubled"][0], 4 * expected)

    def test_the_denoiser_sees_each_noise_level_once(self):
        seen = []
        images = torch.zeros(2, 1, 2, 2)

        def denoise(x, sigma):
            seen.append(float(sigma))
            return x

        denoising_losses(denoise, images, images, [0.5, 2.0], dict.fromkeys("ab", torch.sin))
        assert seen == [0.5, 2.0]


class TestMMD:
    def test_is_the_definition(self):
        x, y = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(4, 2, 3, dtype=torch.float64)

        def k(a, b):
            return math.exp(-float((a - b).square().sum()) / (2 * 0.7**2))

        within_x = sum(k(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / 20
        within_y = sum(k(y[i], y[j]) for i in range(4) for j in range(4) if i != j) / 12
        between = sum(k(a, b) for a in x for b in y) / 20
        (estimate,) = mmd_squared(x, y, [0.7])
        assert float(estimate) == pytest.approx(within_x + within_y - 2 * between, abs=1e-12)

    def test_is_unbiased(self):
        """Over all halves of one sample the mean is 0 exactly; with the diagonals it would be positive."""
        pool = torch.randn(6, 3)
        estimates = []
        for half in itertools.combinations(range(6), 3):
            rest = [i for i in range(6) if i not in half]
            estimates.append(mmd_squared(pool[list(half)], pool[rest], [0.5, 2.0]))
        torch.testing.assert_close(torch.stack(estimates).mean(dim=0), torch.zeros(2).double(), rtol=0, atol=1e-12)
        assert min(float(estimate.min()) for estimate in estimates) < -0.01

    @pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
    def test_of_shifted_gaussians(self, shift):
        """2 (h^2 / (h^2 + 2))^(D/2) (1 - exp(-|m|^2 / (2 (h^2 + 2)))) for N(0, I) and N(m, I)."""
        dimensions, bandwidths = 4, [1.0, 2.0, 4.0]
        x, y = torch.randn(2, 2000, dimensions)
        y = y + shift / dimensions**0.5
        for h, estimate in zip(bandwidths, mmd_squared(x, y, bandwidths), strict=True):
            scale = (h**2 / (h**2 + 2)) ** (dimensions / 2)
            expected = 2 * scale * (1 - math.exp(-(shift**2) / (2 * (h**2 + 2))))
            assert float(estimate) == pytest.approx(expected, rel=0.1, abs=5e-4)

    @pytest.mark.parametrize(
        ("x", "y", "bandwidths", "message"),
        [
            (torch.zeros(1, 2), torch.zeros(3, 2), [1.0], r"x, y: expected two samples of at least 2, got \(1, 3\)"),
            (torch.zeros(2, 2), torch.zeros(3, 2), [1.0, 0.0], "bandwidths: expected positive numbers"),
        ],
    )
    def test_bad_input_is_named(self, x, y, bandwidths, message):
        with pytest.raises(ValueError, match=message):
            mmd_squared(x, y, bandwidths)
