"""How fast this machine convolves: the yardstick for a network that is nearly all 3x3 convolutions.

The peak is the speed of the fastest 3x3 convolution among those of the network itself, at its widths and sizes, in
either memory format.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import Work, seconds
from unetdiff.config import UNetConfig

__all__ = ["convolution_peak", "count_flops"]


def count_flops(work: Work) -> int:
    """Floating-point operations of convolutions and matrix products in one call, backward pass included."""
    # The counter knows attention on a CPU only as the matrix products that it consists of.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def convolution_peak(config: UNetConfig, batch: int, repeats: int) -> float:
    """Operations per second of the fastest 3x3 convolution of the network on `batch` images."""
    assert config.image_size is not None
    height, width = config.image_size
    shapes = {(node.out_channels, node.stride) for node in config.nodes() if node.kind == "resnet"}
    return max(
        _speed((batch, channels, height // stride, width // stride), layout, repeats)
        for channels, stride in sorted(shapes)
        for layout in (torch.contiguous_format, torch.channels_last)
    )


@torch.no_grad()
def _speed(shape: tuple[int, int, int, int], layout: torch.memory_format, repeats: int) -> float:
    """The best of `repeats` calls of a convolution that keeps the shape, after one to warm up."""
    x = torch.randn(shape).to(memory_format=layout)
    kernel = torch.randn(shape[1], shape[1], 3, 3).to(memory_format=layout)

    def convolve() -> Tensor:
        return F.conv2d(x, kernel, padding=1)

    flops = count_flops(convolve)
    return flops / min(seconds(convolve) for _ in range(repeats))
