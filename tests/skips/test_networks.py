"""Skip-tuning of whole networks: folded into weights, applied to diffusers' own classes, and FreeU beside it."""

import copy

import pytest
import torch

from benchmarks.layouts import build, inputs, randomise
from unetdiff.config import AttentionConfig, LevelConfig, ResnetConfig, TimeConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.preconditioning import Epsilon
from unetdiff.prune import prune
from unetdiff.skips import FreeU, Increasing, Linear, applied_to, fold_skip_scale, skip_tuned
from unetdiff.unet import UNet

SITES = ("concat", "residual", "norm")
LAYOUTS = ("Stable Diffusion 1.5", "SDXL base", "DDPM (google/ddpm-cifar10-32)", "SSD-1B")
NCSNPP = UNetConfig(
    levels=(
        LevelConfig(channels=8, depth=2),
        LevelConfig(channels=16, depth=2, attention=AttentionConfig(heads=1)),
    ),
    resnet=ResnetConfig(
        resample_filter=(1.0, 3.0, 3.0, 1.0), residual_scale=0.5**0.5, norm_min_channels=4, resample_projection=True
    ),
    time=TimeConfig(kind="fourier", channels=16, order="sin_cos", labels="before"),
    downsample="resnet",
    upsample="resnet",
    input_residual=True,
)


@pytest.fixture(params=LAYOUTS)
def pair(request):
    """diffusers' network of a layout, ours with its weights, and arguments for both."""
    theirs = build(request.param)
    ours = UNet.from_config({**theirs.config, "_class_name": type(theirs).__name__}).eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours, inputs(request.param)


def ncsnpp():
    unet = UNet(NCSNPP).eval()
    randomise(unet)
    return unet, {"sample": torch.randn(2, 3, 8, 8), "timestep": torch.tensor([0.3, 1.2])}


def result(network, arguments, **tuning):
    with torch.no_grad():
        return network(**arguments, **tuning, return_dict=False)[0]


def close(out, expected, tolerance):
    assert (out - expected).abs().max() <= tolerance * expected.abs().max()


def rising(unet):
    return Linear(rho_bottom=0.3, rho_top=0.9).factors(unet.config)


class TestFolding:
    def check(self, unet, arguments):
        tuned = result(unet, arguments, skip_scale=rising(unet), skip_site="residual")
        close(result(fold_skip_scale(unet, rising(unet)), arguments), tuned, 1e-6)
        swapped = result(fold_skip_scale(unet, rising(unet)[::-1]), arguments)
        assert (swapped - tuned).abs().max() > 1e-3 * tuned.abs().max()

    def test_equals_the_factor_on_the_shortcut(self, pair):
        _, ours, arguments = pair
        self.check(ours, arguments)

    def test_equals_it_on_an_edm_like_network(self):
        self.check(*ncsnpp())

    def test_equals_it_where_the_block_is_gone(self):
        unet, arguments = ncsnpp()
        self.check(prune(unet, {"up_blocks.0.resnets.0": "shortcut"}), arguments)

    def test_leaves_the_network_and_all_else_alone(self):
        unet, _ = ncsnpp()
        before = copy.deepcopy(unet.state_dict())
        folded = fold_skip_scale(unet, {"conv_in": 0.5}).state_dict()
        assert all(torch.equal(tensor, before[key]) for key, tensor in unet.state_dict().items())
        changed = [key for key, tensor in folded.items() if not torch.equal(tensor, before[key])]
        assert changed == ["up_blocks.1.resnets.2.conv_shortcut.weight"]
        weight = before[changed[0]]
        assert torch.equal(folded[changed[0]], torch.cat([weight[:, :8], 0.5 * weight[:, 8:]], dim=1))

    def test_is_an_ordinary_checkpoint(self, pair, tmp_path):
        _, ours, arguments = pair
        folded = fold_skip_scale(ours, torch.linspace(0.5, 1, len(ours.skips)))
        expected = result(folded, arguments)
        folded.save_pretrained(tmp_path)
        assert torch.equal(result(UNet.from_pretrained(tmp_path), arguments), expected)
        close(result(folded.to_diffusers(), arguments), expected, 1e-5)

    def test_a_factor_for_each_image_is_refused(self):
        unet, _ = ncsnpp()
        with pytest.raises(ValueError, match="skip_scale: expected one factor per skip, the same for all images"):
            fold_skip_scale(unet, torch.ones(2, len(unet.skips)))


class TestAppliedToDiffusers:
    @pytest.mark.parametrize("site", SITES)
    def test_equals_our_network(self, pair, site):
        theirs, ours, arguments = pair
        with applied_to(theirs, rising(ours), site):
            out = result(theirs, arguments)
        close(out, result(ours, arguments, skip_scale=rising(ours), skip_site=site), 1e-5)
        swapped = result(ours, arguments, skip_scale=rising(ours)[::-1], skip_site=site)
        assert (out - swapped).abs().max() > 1e-3 * out.abs().max()

    @pytest.mark.parametrize("site", SITES)
    @pytest.mark.parametrize("pair", ["Stable Diffusion 1.5"], indirect=True)
    def test_leaves_nothing_behind(self, pair, site):
        theirs, _, arguments = pair
        plain, keys = result(theirs, arguments), list(theirs.state_dict())
        with pytest.raises(RuntimeError), applied_to(theirs, 0.5, site):
            theirs(**{**arguments, "sample": torch.zeros(2, 4, 16, 16, 1)})
        assert all(not module._forward_pre_hooks and not module._forward_hooks for module in theirs.modules())
        assert torch.equal(result(theirs, arguments), plain)
        assert list(theirs.state_dict()) == keys

    @pytest.mark.parametrize("pair", ["Stable Diffusion 1.5"], indirect=True)
    def test_one_is_bitwise_plain_and_factors_may_be_named_or_per_image(self, pair):
        theirs, ours, arguments = pair
        with applied_to(theirs, 1.0):
            ones = result(theirs, arguments)
        assert torch.equal(ones, result(theirs, arguments))
        rows = torch.stack([torch.tensor(rising(ours)), torch.full((len(ours.skips),), 0.6)])
        for scale in ({"conv_in": 0.5}, rows):
            with applied_to(theirs, scale):
                out = result(theirs, arguments)
            close(out, result(ours, arguments, skip_scale=scale), 1e-5)

    @pytest.mark.parametrize("pair", ["Stable Diffusion 1.5"], indirect=True)
    def test_bad_arguments_are_named(self, pair):
        theirs, ours, _ = pair
        for unet, arguments, message in (
            (ours, (0.5,), "unet: expected a UNet2DModel or UNet2DConditionModel of diffusers, got 'UNet'"),
            (theirs, (0.5, "mid"), r"skip_site: expected one of \['concat', 'residual', 'norm'\], got 'mid'"),
            (theirs, ([0.5],), "skip_scale: expected one factor for each of 12 skips, got 1"),
        ):
            with pytest.raises(ValueError, match=message), applied_to(unet, *arguments):
                pass


@pytest.mark.parametrize("pair", ["Stable Diffusion 1.5", "SDXL base"], indirect=True)
class TestFreeU:
    def test_equals_that_of_diffusers(self, pair):
        theirs, ours, arguments = pair
        plain = result(ours, arguments)
        theirs.enable_freeu(b1=1.5, b2=1.3, s1=0.9, s2=0.2)
        freeu = result(ours, arguments, join=FreeU(b1=1.5, b2=1.3, s1=0.9, s2=0.2))
        close(freeu, result(theirs, arguments), 1e-5)
        assert (freeu - plain).abs().max() > 1e-2 * plain.abs().max()
        assert torch.equal(result(ours, arguments), plain)

    def test_ones_are_the_plain_result(self, pair):
        _, ours, arguments = pair
        close(result(ours, arguments, join=FreeU(b1=1.0, b2=1.0, s1=1.0, s2=1.0)), result(ours, arguments), 1e-5)


def test_a_loaded_stable_diffusion_is_tuned_by_its_schedule_of_timesteps():
    theirs = build("Stable Diffusion 1.5")
    denoiser = Denoiser(UNet.from_config({**theirs.config, "_class_name": "UNet2DConditionModel"}), Epsilon()).eval()
    denoiser.unet.load_state_dict(theirs.state_dict())
    x, text = torch.randn(1, 4, 16, 16), torch.randn(1, 7, 24)
    tuned = skip_tuned(denoiser, Linear(rho_bottom=0.5), Increasing())
    sigma_min, sigma_max = Epsilon().sigma_range
    with torch.no_grad():
        least, greatest = (tuned(x, sigma, encoder_hidden_states=text) for sigma in (sigma_min, sigma_max))
        full = Linear(rho_bottom=0.5).factors(denoiser.unet.config)
        expected = denoiser(x, sigma_min, encoder_hidden_states=text, skip_scale=full)
        torch.testing.assert_close(least, expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(greatest, denoiser(x, sigma_max, encoder_hidden_states=text))
