"""Features of single pixels: maps of any size, read at the places where an image's pixels lie on them.

x(p) = [bilinear(F_cell, p) for every cell], the value of F_cell upsampled to the image's size at pixel p, as
`torch.nn.functional.interpolate(mode="bilinear")` has it, without upsampling what is not asked for.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["pixel_features"]


def pixel_features(maps: Sequence[Tensor], pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, p, sum of channels), from maps (n, C, h, w) at `pixels` (n, p): numbers row by row in an image of `size`."""
    height, width = size
    x, y = pixels % width, pixels // width
    places = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)  # of pixel centres, in [-1, 1]
    read = [
        F.grid_sample(map_, places[:, None], mode="bilinear", padding_mode="border", align_corners=False)
        for map_ in maps
    ]
    return torch.cat(read, dim=1)[:, :, 0].movedim(1, 2)
