"""What the pixels of packed images are: unsigned integers of 8 or 16 bits, from 0 (black) to the largest (white)."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pixels", "white"]

Pixels = NDArray[np.uint8 | np.uint16]


def white(pixels: Pixels) -> int:
    """255 or 65535."""
    return int(np.iinfo(pixels.dtype).max)
