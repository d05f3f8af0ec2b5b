"""Published smaller layouts: their counts, their configuration in diffusers, and where their tensors come from."""

import dataclasses

import pytest
import torch

from unetdiff import presets
from unetdiff.config import ResnetConfig
from unetdiff.diffusers_config import read_config, write_config
from unetdiff.errors import InputError
from unetdiff.prune import layouts, prune
from unetdiff.prune.layouts import LAYOUTS, layout, layout_config
from unetdiff.prune.width import narrow
from unetdiff.unet import UNet

PARAMETERS = {
    "bk-sdm-base": 579_384_964,
    "bk-sdm-small": 482_346_884,
    "bk-sdm-tiny": 323_384_964,
    "ssd-1b": 1_331_334_404,
    "segmind-vega": 745_225_604,
    "koala-1b": 1_161_184_324,
    "koala-700m": 782_822_724,
}
CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, PLAIN_UP = "CrossAttnUpBlock2D", "UpBlock2D"
# the fields in which the published config.json differs from the teacher's
PUBLISHED = {
    "bk-sdm-base": {"layers_per_block": 1},
    "bk-sdm-small": {"layers_per_block": 1, "mid_block_type": None},
    "bk-sdm-tiny": {
        "layers_per_block": 1,
        "mid_block_type": None,
        "block_out_channels": [320, 640, 1280],
        "down_block_types": [CROSS] * 3,
        "up_block_types": [CROSS_UP] * 3,
    },
    "ssd-1b": {
        "mid_block_type": "UNetMidBlock2D",
        "transformer_layers_per_block": [1, [2, 2], [4, 4]],
        "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1],
    },
    "segmind-vega": {
        "mid_block_type": "UNetMidBlock2D",
        "transformer_layers_per_block": [1, [1, 1], [2, 2]],
        "reverse_transformer_layers_per_block": [[2, 2, 2], [1, 1, 1], 1],
    },
    "koala-1b": {"layers_per_block": 1, "transformer_layers_per_block": [1, 2, 6]},
    "koala-700m": {"layers_per_block": 1, "transformer_layers_per_block": [1, 2, 5], "mid_block_type": None},
}
# the tensors that BK-SDM's training code copies from blocks of another name
COPIED = {
    "bk-sdm-base": {
        **{f"up_blocks.{level}.resnets.1": f"up_blocks.{level}.resnets.2" for level in range(4)},
        **{f"up_blocks.{level}.attentions.1": f"up_blocks.{level}.attentions.2" for level in range(1, 4)},
    },
    "bk-sdm-tiny": {
        f"up_blocks.{level}.{part}": f"up_blocks.{level + 1}.{source}"
        for level in range(3)
        for part, source in {
            "resnets.0": "resnets.0",
            "attentions.0": "attentions.0",
            "resnets.1": "resnets.2",
            "attentions.1": "attentions.2",
            "upsamplers.0": "upsamplers.0",
        }.items()
    },
}


def teacher(name):
    """The configuration of the network that a layout is made of."""
    return presets.sd15() if name.startswith("bk") else presets.sdxl()


def small(config):
    """The same at small widths."""
    levels = tuple(dataclasses.replace(level, channels=level.channels // 10) for level in config.levels)
    attention = (None if level.attention is None else heads_of_eight(level.attention) for level in levels)
    levels = tuple(dataclasses.replace(level, attention=a) for level, a in zip(levels, attention, strict=True))
    mid = dataclasses.replace(config.mid, attention=heads_of_eight(config.mid.attention))
    return dataclasses.replace(
        config, levels=levels, mid=mid, resnet=ResnetConfig(norm_groups=8), cross_attention_dim=6
    )


def heads_of_eight(attention):
    return dataclasses.replace(attention, heads=None, head_channels=8)


@pytest.fixture(scope="module")
def stable_diffusion():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet(small(presets.sd15())).eval().requires_grad_(False)


@pytest.mark.parametrize("name", LAYOUTS)
def test_parameter_count(name):
    with torch.device("meta"):
        unet = UNet(layout_config(teacher(name), name))
    assert unet.num_parameters() == PARAMETERS[name]
    assert f"`{name}`" in layouts.__doc__
    assert f"{PARAMETERS[name]:,}" in layouts.__doc__


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_configuration_is_the_published_one(name):
    kind, fields = write_config(teacher(name))
    whole = read_config({"_class_name": kind, **fields})
    changed = PUBLISHED[name]
    if changed.get("block_out_channels"):
        changed = {**changed, "attention_head_dim": 8}
    assert layout_config(whole, name) == read_config({"_class_name": kind, **fields, **changed})


@pytest.mark.parametrize("name", ["bk-sdm-base", "bk-sdm-small", "bk-sdm-tiny"])
def test_the_student_is_one_of_diffusers_networks_too(stable_diffusion, name):
    student = layout(stable_diffusion, name)
    arguments = (torch.randn(2, 4, 8, 8), torch.tensor([3.0, 500.0]), torch.randn(2, 5, 6))
    for parameter in student.parameters():  # some of which start at zero
        parameter.data = torch.randn(parameter.shape) / max(parameter[0].numel(), 1) ** 0.5
    expected = student.to_diffusers()(*arguments, return_dict=False)[0]
    assert expected.std() > 0.05
    torch.testing.assert_close(student(*arguments).sample, expected)


@pytest.mark.parametrize("name", COPIED)
def test_tensors_are_those_that_bk_sdm_copies(stable_diffusion, name):
    student, whole = layout(stable_diffusion, name).state_dict(), stable_diffusion.state_dict()
    assert len(student) > 100
    for key, tensor in student.items():
        place = next((place for place in COPIED[name] if key.startswith(f"{place}.")), None)
        source = key if place is None else COPIED[name][place] + key.removeprefix(place)
        assert tensor.data_ptr() == whole[source].data_ptr(), key


def test_layers_of_a_transformer_are_the_first_ones():
    with torch.device("meta"):
        whole = UNet(small(presets.sdxl()))
    whole.load_state_dict({key: torch.zeros(tensor.shape) for key, tensor in whole.state_dict().items()}, assign=True)
    student, teacher = layout(whole, "ssd-1b").state_dict(), whole.state_dict()
    assert all(tensor.data_ptr() == teacher[key].data_ptr() for key, tensor in student.items())
    blocks = {key.split(".")[5] for key in student if key.startswith("up_blocks.0.attentions.0.transformer_blocks.")}
    assert blocks == set("0123")


def test_the_teacher_stays_as_it_was_and_says_what_is_trained(stable_diffusion):
    config = stable_diffusion.config
    assert not any(parameter.requires_grad for parameter in layout(stable_diffusion, "bk-sdm-tiny").parameters())
    stable_diffusion.conv_in.requires_grad_(True)
    student = layout(stable_diffusion, "bk-sdm-tiny")
    stable_diffusion.conv_in.requires_grad_(False)
    assert {name for name, p in student.named_parameters() if p.requires_grad} == {"conv_in.weight", "conv_in.bias"}
    assert stable_diffusion.config == config
    assert not student.training


class TestRefusals:
    def test_an_unknown_name(self, stable_diffusion):
        with pytest.raises(InputError, match="layout: expected one of bk-sdm-base, .*, koala-700m, got 'bk'"):
            layout(stable_diffusion, "bk")

    def test_another_network(self, stable_diffusion, unet):
        with pytest.raises(InputError, match="layout ssd-1b: expected a network of SDXL"):
            layout(stable_diffusion, "ssd-1b")
        with pytest.raises(InputError, match="layout bk-sdm-base: expected a network of Stable Diffusion 1 or 2"):
            layout(unet, "bk-sdm-base")

    def test_one_that_was_pruned_before(self, stable_diffusion):
        part = "mid_block.resnets.0"
        for pruned in (prune(stable_diffusion, {part: "identity"}), narrow(stable_diffusion, {part: [0, 2]})):
            with pytest.raises(InputError, match=f"expected a network as it was trained, got one pruned at {part}"):
                layout(pruned, "bk-sdm-base")
