import pytest

from unetdiff.errors import InputError
from unetdiff.features.places import taps_called

BLOCK = "mid_block.attentions.0.transformer_blocks.0"


def test_all_are_the_outputs_of_all_nodes(unet):
    assert taps_called(["all"], unet) == tuple(node.name for node in unet.nodes)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["conv_out", "conv_in"], ("conv_in", "conv_out")),
        (["mid_block"], ("mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1")),
        (["mid_block.*.1", "mid_block.resnets.1"], ("mid_block.resnets.1",)),
        (["mid_block.resnets.1:residual"], ("mid_block.resnets.1:residual",)),
        (["mid_block.resnets.*:input"], ("mid_block.resnets.0:input", "mid_block.resnets.1:input")),
        ([f"{BLOCK}.attn2"], (f"{BLOCK}.attn2",)),
        (["mid_block.*.attn2"], (f"{BLOCK}.attn2",)),
        (["dift_sd:0", "block:5", "mid_block.resnets.1"], ("mid_block.resnets.1", "up_blocks.0.upsamplers.0")),
    ],
)
def test_names_and_patterns(unet, names, expected):
    assert taps_called(names, unet) == expected


def test_parts_of_nodes_by_the_end_of_their_names(unet):
    found = taps_called(["attn2"], unet)
    assert found == tuple(name for name in unet.taps if name.endswith(".attn2"))
    assert len(found) > 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["mid_block.resnet.1"], r"nodes: .* got mid_block.resnet.1; near to it are mid_block.resnets.1"),
        (
            ["conv_in:outpt"],
            "nodes: expected one of input, probabilities, residual behind the colon, got .*outpt",
        ),
        (["conv_in:residual"], "nodes: expected a pattern of names in the network, got conv_in"),
        (["block:10"], "block:10: expected block:1 to block:9 in this network"),
        ([], "nodes: expected names of nodes or taps, got none"),
    ],
)
def test_refusals(unet, names, message):
    with pytest.raises(InputError, match=message):
        taps_called(names, unet)
