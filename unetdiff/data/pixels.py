"""What the pixels of packed images are: unsigned integers of 8 or 16 bits, from 0 (black) to the largest (white)."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pixels", "values", "white"]

Pixels = NDArray[np.uint8 | np.uint16]


def white(pixels: Pixels) -> int:
    """255 or 65535."""
    return int(np.iinfo(pixels.dtype).max)


def values(images: Pixels) -> NDArray[np.float32]:
    """Pixels from black to white as -1 to 1; latents, which are no pixels, as they are."""
    numbers: NDArray[np.float32] = images.astype(np.float32)
    return numbers if images.dtype == np.float32 else numbers / np.float32(white(images) / 2) - 1
