"""Skip caching: what is reused, when it is recomputed, and that nothing else changes."""

from functools import partial

import pytest
import torch

import samplers
from benchmarks.layouts import randomise
from unetdiff.caching import cached
from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.preconditioning import EDM
from unetdiff.skips import Decreasing, FreeU, Uniform, skip_tuned
from unetdiff.unet import UNet
from unetdiff.walk import SkipCache

LEVELS = (LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1, attention=AttentionConfig()))
CONFIG = UNetConfig(in_channels=1, out_channels=1, num_classes=3, levels=LEVELS)
NETWORKS = {
    "plain": CONFIG,
    "no middle": UNetConfig(in_channels=1, out_channels=1, num_classes=3, levels=LEVELS, mid=None),
    "input residuals": UNetConfig(
        in_channels=1,
        out_channels=1,
        num_classes=3,
        levels=LEVELS,
        mid=MidConfig(attention=AttentionConfig()),
        resnet=ResnetConfig(resample_filter=(1.0, 3.0, 3.0, 1.0)),
        downsample="resnet",
        upsample="resnet",
        input_residual=True,
    ),
    "odd sizes": UNetConfig(in_channels=1, out_channels=1, num_classes=3, levels=LEVELS, odd_sizes="match_skips"),
}
SKIP = "down_blocks.0.resnets.0"
LABELS = torch.tensor([0, 2])


def make(config=CONFIG):
    unet = UNet(config).eval()
    randomise(unet)
    return Denoiser(unet, EDM())


@pytest.fixture
def denoiser():
    return make()


@pytest.fixture
def full(denoiser):
    """For each call of the network, whether the middle ran."""
    calls = []
    denoiser.unet.register_forward_pre_hook(lambda module, args: calls.append(False))
    denoiser.unet.get_submodule("mid_block.resnets.0").register_forward_pre_hook(
        lambda module, args: calls.__setitem__(-1, True)
    )
    return calls


def draw(size=8):
    return torch.randn(2, 1, size, size)


def run(denoise, sampler, steps=4):
    sigmas = samplers.karras(steps)
    noise = samplers.PerImageNoise(seeds=[0, 1], shape=(1, 8, 8))
    return samplers.sample(denoise, sigmas[0].float() * noise(), sigmas, sampler, noise=noise)


@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("size", [8, 7])
@torch.no_grad()
def test_the_main_path_of_any_skip_stands_for_all_inside(config, size):
    denoiser, x = make(config), draw(size)
    plain = denoiser(x, 1.0, class_labels=LABELS)
    for skip in denoiser.unet.skips:
        cache = SkipCache(skip=skip)
        for _ in ("filled", "used"):
            assert torch.equal(denoiser(x, 1.0, class_labels=LABELS, skip_cache=cache), plain)
        other = SkipCache(skip=skip, u=2 * cache.u)
        assert not torch.equal(denoiser(x, 1.0, class_labels=LABELS, skip_cache=other), plain)


@torch.no_grad()
def test_only_the_nodes_outside_the_skip_run(denoiser):
    unet, ran = denoiser.unet, []
    for node in unet.nodes:
        unet.get_submodule(node.name).register_forward_hook(lambda *_, name=node.name: ran.append(name))
    unet(draw(), 1.0, class_labels=LABELS, skip_cache=SkipCache(skip=SKIP, u=torch.randn(2, 16, 8, 8)))
    assert ran == [
        "conv_in",
        "down_blocks.0.resnets.0",
        "up_blocks.1.resnets.0",
        "up_blocks.1.resnets.1",
        "conv_norm_out",
        "conv_out",
    ]


@pytest.mark.parametrize(
    ("skip", "shape", "message"),
    [
        ("mid_block.resnets.0", (2, 16, 8, 8), "skip_cache: expected a skip among .*, got 'mid_block.resnets.0'"),
        (SKIP, (2, 16, 4, 4), r"skip_cache: expected \(2, 16, 8, 8\) at down_blocks.0.resnets.0, got shape \(2, 16, 4"),
        (SKIP, (1, 16, 8, 8), r"skip_cache: expected \(2, 16, 8, 8\) at down_blocks.0.resnets.0, got shape \(1, 16, 8"),
    ],
)
def test_a_cache_that_fits_nowhere_is_refused(denoiser, skip, shape, message):
    with pytest.raises(ValueError, match=message):
        denoiser.unet(draw(), 1.0, class_labels=LABELS, skip_cache=SkipCache(skip=skip, u=torch.zeros(shape)))


@pytest.mark.parametrize("sampler", [samplers.Heun(), samplers.UniPC(), samplers.DPMSolverPP2MSDE()], ids=repr)
def test_interval_one_is_bitwise_the_denoiser(denoiser, sampler):
    plain = partial(denoiser, class_labels=LABELS, skip_scale=0.8)
    once = partial(cached(denoiser, 1, SKIP), class_labels=LABELS, skip_scale=0.8)
    assert torch.equal(run(once, sampler), run(plain, sampler))


@pytest.mark.parametrize("interval", [2, 3])
def test_the_inside_is_computed_at_every_nth_call_of_the_network(denoiser, full, interval):
    run(partial(cached(denoiser, interval, SKIP), class_labels=LABELS), samplers.Heun())
    assert full == [call % interval == 0 for call in range(7)]  # four steps, the last of one call


@torch.no_grad()
def test_a_cached_call_takes_the_main_path_of_the_last_full_one(denoiser):
    denoise, first, second = cached(denoiser, 3, SKIP), draw(), draw()
    kept = SkipCache(skip=SKIP)
    plain = denoiser(first, 2.0, class_labels=LABELS, skip_cache=kept)
    assert torch.equal(denoise(first, 2.0, class_labels=LABELS), plain)
    for sigma in (1.0, 0.5):
        expected = denoiser(second, sigma, class_labels=LABELS, skip_cache=kept)
        assert torch.equal(denoise(second, sigma, class_labels=LABELS), expected)
        assert not torch.equal(expected, denoiser(second, sigma, class_labels=LABELS))


@pytest.mark.parametrize(
    ("change", "recomputed"),
    [
        ({}, False),
        ({"sigma": torch.tensor(0.1)}, False),
        ({"sigma": 1.0 + 1e-6}, False),
        ({"sigma": 1.001}, True),
        ({"sigma": torch.tensor([0.5, 2.0])}, True),
        ({"x": torch.zeros(2, 1, 8, 4)}, True),
        ({"x": torch.zeros(2, 1, 8, 8, dtype=torch.float64)}, True),
        ({"class_labels": LABELS.clone()}, True),
        ({"skip_scale": 0.5}, True),
    ],
    ids=str,
)
def test_what_belongs_to_something_else_is_not_reused(denoiser, full, change, recomputed):
    denoise, x = cached(denoiser, 10, SKIP), draw()
    given = {"x": x, "sigma": 1.0, "class_labels": LABELS}
    denoise(**given)
    denoise(**{**given, **change})
    assert full == [True, recomputed]


def test_the_next_run_starts_anew(denoiser):
    denoise = partial(cached(denoiser, 3, SKIP), class_labels=LABELS)
    assert torch.equal(run(denoise, samplers.Euler(), steps=5), run(denoise, samplers.Euler(), steps=5))


@torch.no_grad()
def test_a_call_that_failed_leaves_nothing_to_reuse(denoiser, full):
    denoise, x = cached(denoiser, 3, SKIP), draw()
    with pytest.raises(ValueError, match="skip_scale"):
        denoise(x, 1.0, class_labels=LABELS, skip_scale={"nowhere": 0.5})
    denoise(x, 0.5, class_labels=LABELS)
    with pytest.raises(ValueError, match="class_labels"):
        denoise(x, 2.0)
    denoise(x, 0.4, class_labels=LABELS)
    assert full == [False, True, False, False]  # the last reuses the second


def test_the_network_is_left_as_it_was(denoiser):
    x = draw()
    before, attributes = denoiser(x, 1.0, class_labels=LABELS), set(vars(denoiser.unet))
    run(partial(cached(denoiser, 2, SKIP), class_labels=LABELS), samplers.Heun())
    assert torch.equal(denoiser(x, 1.0, class_labels=LABELS), before)
    assert set(vars(denoiser.unet)) == attributes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in denoiser.modules())


def test_guidance_in_one_call_reuses_the_rows_of_both_conditions(denoiser, full):
    labels, none = {"class_labels": LABELS}, {"class_labels": torch.full_like(LABELS, -1)}
    guidance = samplers.Guidance(weight=2.0)
    one_call = samplers.guided_in_one_call(cached(denoiser, 2, SKIP), labels, none, guidance)
    each = (partial(cached(denoiser, 2, SKIP), **condition) for condition in (labels, none))
    together = run(one_call, samplers.Euler())
    assert full == [True, False, True, False]
    torch.testing.assert_close(together, run(samplers.guided(*each, guidance), samplers.Euler()), rtol=1e-5, atol=1e-5)


def test_skip_tuning_and_joins_act_on_cached_calls(denoiser):
    x, rho, freeu = draw(), Uniform(rho=0.6), FreeU(b1=1.5, b2=1.6, s1=0.9, s2=0.2)
    tuned = skip_tuned(denoiser, rho, Decreasing())
    for plain in (tuned, partial(denoiser, join=freeu), partial(denoiser, skip_scale=0.7, skip_site="norm")):
        denoise = cached(plain, 2, SKIP)
        expected = plain(x, 1.0, class_labels=LABELS)
        assert not torch.equal(expected, denoiser(x, 1.0, class_labels=LABELS))
        for _ in range(2):  # at the same x, what is reused is what would be computed
            assert torch.equal(denoise(x, 1.0, class_labels=LABELS), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(denoiser, dtype):
    denoiser.unet.to(dtype)
    denoise, x = cached(denoiser, 2, SKIP), draw()
    expected = denoiser(x, 1.0, class_labels=LABELS)
    for _ in range(2):
        assert torch.equal(denoise(x, 1.0, class_labels=LABELS), expected)


def test_nothing_carries_a_gradient(denoiser):
    denoise, x = cached(denoiser, 2, SKIP), draw()
    assert denoiser(x, 1.0, class_labels=LABELS).requires_grad
    assert not any(denoise(x, 1.0, class_labels=LABELS).requires_grad for _ in range(2))


def test_refusals(denoiser):
    with pytest.raises(ValueError, match="interval: expected a positive number of network calls, got 0"):
        cached(denoiser, 0, SKIP)
    with pytest.raises(ValueError, match="skip_cache: expected a skip among .*, got 'conv_out'"):
        cached(denoiser, 2, "conv_out")(draw(), 1.0, class_labels=LABELS)
