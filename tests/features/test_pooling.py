from dataclasses import replace

import pytest
import torch
from einops import reduce

from unetdiff.features.pooling import Pooling
from unetdiff.unet import UNet

TOKENS = "mid_block.attentions.0.transformer_blocks.0.attn2"


def pooled(unet, inputs, name, pool):
    """The feature map and what is kept of it."""
    x = unet(**inputs, capture=[name]).features[name]
    height, width = inputs["sample"].shape[2:]
    return x, Pooling(pool=pool, aspect=height / width)(x, unet.taps[name].form)


def test_pools_are_means_of_cells(unet, inputs):
    x, mean = pooled(unet, inputs, "conv_in", "mean")
    _, one = pooled(unet, inputs, "conv_in", 1)
    _, grid = pooled(unet, inputs, "conv_in", 2)
    _, all_positions = pooled(unet, inputs, "conv_in", "none")
    torch.testing.assert_close(grid, reduce(x, "n c (p h) (q w) -> n c p q", "mean", p=2, q=2))
    torch.testing.assert_close(mean, one[:, :, 0, 0])
    assert torch.equal(all_positions, x)


def test_a_grid_is_no_finer_than_the_feature_map(unet, inputs):
    x, kept = pooled(unet, inputs, "mid_block.resnets.0", 16)
    assert torch.equal(kept, x)


def test_tokens_are_the_positions_of_a_picture(unet, inputs):
    x, kept = pooled(unet, inputs, TOKENS, "none")
    for row, column in ((0, 0), (1, 2), (3, 1)):
        assert torch.equal(kept[:, :, row, column], x[:, 4 * row + column])


@pytest.mark.parametrize("odd_sizes", ["pad", "match_skips"])
@pytest.mark.parametrize("size", [(8, 8), (11, 9), (4, 22)])
def test_tokens_lie_as_the_feature_map_of_their_node_does(unet, size, inputs, odd_sizes):
    torch.manual_seed(0)
    network = UNet(replace(unet.config, odd_sizes=odd_sizes)).eval()
    with torch.no_grad():
        there = {**inputs, "sample": torch.randn(2, 2, *size)}
        for name, tap in network.taps.items():
            if tap.form == "tokens":
                _, kept = pooled(network, there, name, "none")
                around, _ = pooled(network, there, tap.node, "none")
                assert kept.shape == around.shape, name


@pytest.mark.parametrize("pool", ["max", 0, -1, True, 2.0])
def test_what_is_no_pooling_is_refused(pool):
    with pytest.raises(ValueError, match="pool: expected mean, none or a number of cells along an edge, got"):
        Pooling(pool=pool)
