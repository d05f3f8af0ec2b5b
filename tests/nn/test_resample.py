"""Halving and doubling against closed forms."""

import math

import pytest
import torch
from torch.nn import functional as F

from unetdiff.nn.resample import InputResidual, double, halve

FIR = (1.0, 3.0, 3.0, 1.0)


@pytest.mark.parametrize("taps", [(1.0, 1.0), FIR, (1.0, 2.0, 3.0, 3.0, 2.0, 1.0)])
def test_a_constant_stays_what_it_is_away_from_the_border(taps):
    x = torch.full((1, 2, 16, 16), 3.0)
    torch.testing.assert_close(halve(x, taps)[:, :, 2:-2, 2:-2], torch.full((1, 2, 4, 4), 3.0))
    torch.testing.assert_close(double(x, taps)[:, :, 4:-4, 4:-4], torch.full((1, 2, 24, 24), 3.0))


def test_two_equal_taps_are_the_mean_and_the_nearest_neighbour():
    x = torch.randn(2, 3, 8, 6)
    torch.testing.assert_close(halve(x, (0.5, 0.5)), halve(x))
    torch.testing.assert_close(double(x, (0.5, 0.5)), double(x))
    assert torch.equal(halve(x), F.avg_pool2d(x, 2))
    assert torch.equal(double(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_four_taps_weigh_neighbours_by_hand():
    line = torch.tensor([0.0, 8.0, 16.0, 24.0])
    x = line.expand(1, 1, 4, 4)
    inner = halve(x, FIR)[0, 0, :, 0]  # (0 * 3 + 8 * 3 + 16 * 1 + a zero beyond the border) / 8, rows alike
    rows = torch.tensor([7 / 8, 7 / 8])  # a border row lacks one tap of weight 1
    torch.testing.assert_close(inner, (8 * 3 + 16 * 1) / 8 * rows)


def test_doubling_is_the_transpose_of_halving():
    """<halve(x), y> = <x, double(y)> / 4 for every filter: a shifted or flipped filter would show."""
    taps = (1.0, 2.0, 5.0, 3.0)
    x, y = torch.randn(1, 2, 8, 8, dtype=torch.float64), torch.randn(1, 2, 4, 4, dtype=torch.float64)
    torch.testing.assert_close((halve(x, taps) * y).sum(), (x * double(y, taps)).sum() / 4)


def test_the_input_joins_as_filter_after_convolution():
    torch.manual_seed(0)
    module = InputResidual(3, 4, FIR)
    x, source = torch.randn(2, 4, 8, 8), torch.randn(2, 3, 16, 16)
    inner = halve(F.conv2d(source, module.conv.weight, module.conv.bias, padding=1), FIR)
    expected = (x + inner) / math.sqrt(2)
    torch.testing.assert_close(module(x, source)[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1])
