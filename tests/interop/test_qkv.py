"""Each layout against its own index formula."""

import pytest
import torch

from unetdiff.errors import InputError
from unetdiff.interop.qkv import split_qkv

HEADS, WIDTH = 3, 4  # of each head
INDEX = {
    "interleaved": lambda head, c, kind: head * 3 * WIDTH + c * 3 + kind,
    "per_head": lambda head, c, kind: head * 3 * WIDTH + kind * WIDTH + c,
    "stacked": lambda head, c, kind: kind * HEADS * WIDTH + head * WIDTH + c,
}


@pytest.mark.parametrize("shape", [(), (5,), (5, 1, 1)])
@pytest.mark.parametrize("layout", INDEX)
def test_channels_come_from_where_the_layout_has_them(layout, shape):
    fused = torch.randn(3 * HEADS * WIDTH, *shape)
    for kind, piece in enumerate(split_qkv(fused, HEADS, layout)):
        index = [INDEX[layout](head, c, kind) for head in range(HEADS) for c in range(WIDTH)]
        assert torch.equal(piece, fused[index])


def test_channels_that_the_heads_do_not_divide_are_refused():
    with pytest.raises(InputError, match=r"multiple of 9 channels for 3 heads, got shape \(12,\)"):
        split_qkv(torch.zeros(12), 3, "stacked")
