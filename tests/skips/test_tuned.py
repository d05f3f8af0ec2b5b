"""Skip-tuning bound to a denoiser: rho at the noise level of each network call."""

from functools import partial

import pytest
import torch

import samplers
from benchmarks.layouts import randomise
from unetdiff.config import LevelConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.preconditioning import EDM
from unetdiff.skips import Constant, Decreasing, Increasing, Linear, Uniform, Window, skip_tuned
from unetdiff.unet import UNet

CONFIG = UNetConfig(
    in_channels=1,
    out_channels=1,
    num_classes=3,
    levels=(LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1)),
)


@pytest.fixture
def denoiser():
    unet = UNet(CONFIG).eval()
    randomise(unet)
    return Denoiser(unet, EDM(sigma_min=0.01, sigma_max=100.0))


@pytest.fixture
def seen(denoiser):
    """The skip_scale of every call of the network, in order."""
    calls = []
    denoiser.unet.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(kwargs.get("skip_scale")), with_kwargs=True
    )
    return calls


LABELS = torch.tensor([0, 2])


def test_a_constant_schedule_is_skip_scale(denoiser):
    x, over_skips = torch.randn(2, 1, 8, 8), Linear(rho_bottom=0.4)
    for site in ("concat", "residual", "norm"):
        tuned = skip_tuned(denoiser, over_skips, Constant(), site)
        expected = denoiser(x, 0.7, class_labels=LABELS, skip_scale=over_skips.factors(CONFIG), skip_site=site)
        torch.testing.assert_close(tuned(x, 0.7, class_labels=LABELS), expected, rtol=1e-6, atol=1e-6)


def test_where_nothing_acts_the_result_is_bitwise_plain(denoiser):
    x = torch.randn(2, 1, 8, 8)
    tuned = skip_tuned(denoiser, Uniform(rho=0.4), Window(sigma_lo=0.1, sigma_hi=1.0))
    for sigma, acts in ((0.05, False), (0.5, True), (2.0, False)):
        plain = denoiser(x, sigma, class_labels=LABELS)
        assert torch.equal(tuned(x, sigma, class_labels=LABELS), plain) != acts


@pytest.mark.parametrize(("schedule", "at_one"), [(Decreasing(), 0.75), (Increasing(), 0.75), (Constant(), 0.5)])
def test_the_factor_moves_between_one_and_rho_in_log_sigma(denoiser, seen, schedule, at_one):
    skip_tuned(denoiser, Uniform(rho=0.5), schedule)(torch.randn(2, 1, 8, 8), 1.0, class_labels=LABELS)
    assert seen[0] == pytest.approx([at_one] * 4, abs=1e-12)


def test_heuns_second_call_has_its_own_factor(denoiser, seen):
    denoise = partial(skip_tuned(denoiser, Uniform(rho=0.5), Decreasing()), class_labels=LABELS)
    samplers.sample(denoise, torch.randn(2, 1, 8, 8), torch.tensor([100.0, 1.0, 0.01, 0.0]), samplers.Heun())
    # 100 | 1, then 1 | 0.01, then the last step's one call at 0.01
    assert [round(float(scale[0]), 6) for scale in seen] == [0.5, 0.75, 0.75, 1.0, 1.0]


def test_the_innermost_skip_has_rho_bottom(denoiser, seen):
    skip_tuned(denoiser, Linear(rho_bottom=0.4), Constant())(torch.randn(2, 1, 8, 8), 1.0, class_labels=LABELS)
    assert seen[0] == pytest.approx([0.4, 0.6, 0.8, 1.0], abs=1e-12)


def test_noise_levels_of_each_image_give_factors_of_each_image(denoiser, seen):
    x, sigma = torch.randn(2, 1, 8, 8), torch.tensor([0.1, 10.0])
    tuned = skip_tuned(denoiser, Linear(rho_bottom=0.4), Decreasing())
    together = tuned(x, sigma, class_labels=LABELS)
    assert seen[0].shape == (2, 4)
    alone = [tuned(x[i : i + 1], float(sigma[i]), class_labels=LABELS[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(seen[0], torch.tensor(seen[1:]), rtol=0, atol=1e-6)


def test_guidance_composes(denoiser):
    x, sigma = torch.randn(2, 1, 8, 8), torch.tensor(0.7)
    tuned = skip_tuned(denoiser, Uniform(rho=0.6), Constant())
    labels, none, guidance = (
        {"class_labels": LABELS},
        {"class_labels": torch.tensor([-1, -1])},
        samplers.Guidance(weight=3.0),
    )
    D_cond, D_uncond = (tuned(x, sigma, **condition) for condition in (labels, none))
    expected = D_uncond + 3 * (D_cond - D_uncond)
    two_calls = samplers.guided(partial(tuned, **labels), partial(tuned, **none), guidance)
    one_call = samplers.guided_in_one_call(tuned, labels, none, guidance)
    for denoise in (two_calls, one_call):
        torch.testing.assert_close(denoise(x, sigma), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one_call(x, torch.tensor([0.7, 0.7])), expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(D_cond, denoiser(x, sigma, class_labels=LABELS), rtol=1e-3)


def test_a_second_skip_scale_is_an_error(denoiser):
    tuned = skip_tuned(denoiser, Uniform(rho=0.6), Constant())
    with pytest.raises(TypeError, match="skip_scale"):
        tuned(torch.randn(2, 1, 8, 8), 1.0, class_labels=LABELS, skip_scale=0.5)
