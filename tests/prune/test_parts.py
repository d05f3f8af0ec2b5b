import pytest
import torch

from unetdiff.prune import prune
from unetdiff.prune.parts import canonical, parts_of
from unetdiff.removal import removable

MID = "mid_block.attentions.0"
BLOCKS = [f"{MID}.transformer_blocks.{index}" for index in range(2)]
LAYERS = [f"{block}.{layer}" for block in BLOCKS for layer in ("attn1", "attn2", "ff")]


def names(unet, granularity, inside="mid_block"):
    return [part.name for part in parts_of(unet, granularity) if part.name.startswith(inside)]


def test_a_transformer_goes_as_a_whole_by_blocks_or_by_layers(unet):
    first, last = "mid_block.resnets.0", "mid_block.resnets.1"
    assert names(unet, "nodes") == [first, MID, last]
    assert names(unet, "blocks") == [first, *BLOCKS, last]
    assert names(unet, "layers") == [first, *LAYERS, last]


def test_parts_cover_all_that_can_go_and_none_lies_in_another(unet):
    can_go = removable(unet.nodes, cross_attention=True)
    for granularity in ("nodes", "blocks", "layers"):
        found = [part.name for part in parts_of(unet, granularity)]
        assert not [(a, b) for a in found for b in found if b.startswith(f"{a}.")]
        covered = canonical(dict.fromkeys(found, "identity"), unet.nodes, cross_attention=True)
        assert set(covered) == {name for name in can_go if "transformer_blocks" not in name}


def test_what_is_gone_is_no_part_and_the_last_block_is_the_transformer(unet):
    pruned = prune(unet, {"mid_block.resnets.0": "zero", BLOCKS[0]: "identity", LAYERS[-1]: "identity"})
    assert names(pruned, "blocks") == [MID, "mid_block.resnets.1"]
    assert names(pruned, "layers") == [*LAYERS[3:5], "mid_block.resnets.1"]
    assert names(pruned, "nodes") == [MID, "mid_block.resnets.1"]


def test_ways(unet):
    ways = {part.name: part.way for part in parts_of(unet)}
    kept_scale = {part.name: part.way for part in parts_of(unet, zero=True)}
    resnet, attention = "up_blocks.0.resnets.0", "down_blocks.0.attentions.0"
    assert (ways[resnet], ways[attention], ways[BLOCKS[0]]) == ("shortcut", "identity", "identity")
    assert (kept_scale[resnet], kept_scale[attention], kept_scale[BLOCKS[0]]) == ("zero", "zero", "identity")


@pytest.mark.parametrize("granularity", ["blocks", "layers"])
def test_what_is_left_is_the_pruned_networks_own_module(unet, granularity):
    for part in parts_of(unet, granularity)[::5]:
        pruned = prune(unet, {part.name: part.way}).get_submodule(part.node)
        left, expected = part.left.state_dict(), pruned.state_dict()
        assert left.keys() == expected.keys()
        assert all(left[key].data_ptr() == expected[key].data_ptr() for key in left)
        assert repr(part.left) == repr(pruned)
        gone = {id(parameter) for parameter in part.gone(unet)}
        own = unet.get_submodule(part.node).named_parameters()
        assert {id(parameter) for name, parameter in own if name not in left} == gone


def test_the_smallest_form(unet):
    def smallest(*gone):
        return canonical(dict.fromkeys(gone, "identity"), unet.nodes, cross_attention=True)

    assert smallest(*LAYERS[:3]) == {BLOCKS[0]: "identity"}
    assert smallest(*LAYERS[:2]) == dict.fromkeys(LAYERS[:2], "identity")
    assert smallest(*BLOCKS) == smallest(*LAYERS) == smallest(BLOCKS[0], *LAYERS[3:]) == {MID: "identity"}
    assert canonical({"mid_block.resnets.0": "zero"}, unet.nodes, cross_attention=True) == {
        "mid_block.resnets.0": "zero"
    }


def test_a_block_without_layers_computes_what_no_block_does(unet, inputs):
    outputs = [prune(unet, dict.fromkeys(gone, "identity"))(**inputs).sample for gone in (LAYERS[:3], BLOCKS[:1])]
    assert torch.equal(*outputs)
