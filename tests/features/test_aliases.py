"""Aliases against what the papers' repositories say of their networks."""

import pytest

from unetdiff import presets
from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, UNetConfig
from unetdiff.errors import InputError
from unetdiff.features.aliases import aliased, aliases
from unetdiff.tap_points import tap_points

HEADS = AttentionConfig(head_channels=64)
ADM_256 = UNetConfig(
    sample_size=256,
    levels=tuple(
        LevelConfig(channels=256 * factor, attention=HEADS if level >= 3 else None)
        for level, factor in enumerate((1, 1, 2, 2, 4, 4))
    ),
    mid=MidConfig(attention=HEADS),
    resnet=ResnetConfig(time_conditioning="scale_shift"),
    downsample="resnet",
    upsample="resnet",
)
"""guided-diffusion's 256x256_diffusion_uncond.pt, the network of diffssl."""

WIDTHS = {(1, 7): 256, (8, 13): 512, (14, 25): 1024, (26, 31): 512, (32, 37): 256}
SIZES = {(1, 3): 256, (4, 6): 128, (7, 9): 64, (10, 12): 32, (13, 15): 16, (16, 21): 8}
SIZES |= {(22, 24): 16, (25, 27): 32, (28, 30): 64, (31, 33): 128, (34, 37): 256}


def point(alias, config):
    (name,) = aliased(alias, config)
    return next(point for point in tap_points(config, config.nodes()) if point.name == name)


def by_block(ranges, number):
    return next(value for (first, last), value in ranges.items() if first <= number <= last)


@pytest.mark.parametrize("number", range(1, 38))
def test_blocks_have_the_widths_and_sizes_that_diffssl_lists(number):
    block = point(f"block:{number}", ADM_256)
    assert block.form == "image"
    assert (block.channels, 256 // block.stride) == (by_block(WIDTHS, number), by_block(SIZES, number))


def taps(names, config):
    return tuple(tap for name in names for tap in aliased(name, config))


def test_the_middle_is_behind_the_encoder():
    assert taps(["block:18", "block:19", "block:20"], ADM_256) == (
        "down_blocks.5.attentions.1",
        "mid_block.resnets.1",
        "up_blocks.0.attentions.0",
    )


def test_dift_and_diffssl_mean_the_same_feature_map_of_adm():
    assert taps(["block:24", "dift_adm:4"], ADM_256) == ("up_blocks.1.attentions.1",) * 2
    assert (point("dift_adm:4", ADM_256).channels, point("dift_adm:4", ADM_256).stride) == (1024, 16)


@pytest.mark.parametrize(("number", "stride"), list(enumerate((4, 2, 1, 1))))
def test_dift_means_up_blocks_of_stable_diffusion_behind_their_upsampler(number, stride):
    name = f"up_blocks.{number}.attentions.2" if number == 3 else f"up_blocks.{number}.upsamplers.0"
    tap = point(f"dift_sd:{number}", presets.sd15())
    assert (tap.name, tap.stride) == (name, stride)


@pytest.mark.parametrize(
    ("preset", "sizes"),
    [
        ("ddpm_cifar10", [4] * 3 + [8] * 3 + [16] * 3 + [32] * 3),
        ("ddpmpp_cifar10", [8] * 5 + [16] * 5 + [32] * 5),
    ],
)
def test_ddae_counts_residual_blocks_before_the_upsampler(preset, sizes):
    config = getattr(presets, preset)()
    assert [32 // point(f"out_{number}", config).stride for number in range(1, len(sizes) + 1)] == sizes
    assert len(taps(["out_*"], config)) == len(sizes)


def test_ddae_reads_behind_the_attention():
    # 35.7M parameters, attention at 16x16
    assert taps(["out_6", "out_7"], presets.ddpm_cifar10()) == ("up_blocks.1.resnets.2", "up_blocks.2.attentions.0")


def test_aliases_by_tap_are_the_inverse():
    found = aliases(ADM_256)
    assert found["up_blocks.1.attentions.1"] == ("block:24", "dift_adm:4", "out_5")
    assert found["up_blocks.1.upsamplers.0"] == ("block:25", "dift_adm:5")
    assert sum(map(len, found.values())) == 37 + 18 + 18
    for tap, names in found.items():
        assert set(taps(names, ADM_256)) == {tap}


@pytest.mark.parametrize("name", ["mid_block.resnets.1", "up_blocks.*", "blocks:1", "dift_sd"])
def test_other_names_are_no_aliases(name):
    assert aliased(name, ADM_256) is None


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("block:38", ADM_256, r"block:38: expected block:1 to block:37 in this network"),
        ("block:0", ADM_256, r"block:0: expected block:1 to block:37"),
        ("block:x", ADM_256, r"block:x: expected block:1 to block:37"),
        ("out_19", ADM_256, r"out_19: expected out_1 to out_18"),
        ("dift_adm:18", ADM_256, r"dift_adm:18: expected dift_adm:0 to dift_adm:17"),
        ("dift_sd:1", ADM_256, r"dift_sd:1: network: expected one with cross-attention, .* got 'one without'"),
        ("dift_adm:4", presets.sd15(), r"dift_adm:4: network: expected one without cross-attention"),
        ("block:1", UNetConfig(levels=(LevelConfig(channels=32),), mid=None), "block:1: network: .* a middle block"),
        (
            "block:1",
            UNetConfig(levels=(LevelConfig(channels=32),) * 2, input_residual=True),
            "block:1: network: .* got 'one whose input is joined to every level'",
        ),
    ],
)
def test_refusals(name, config, message):
    with pytest.raises(InputError, match=message):
        aliased(name, config)
