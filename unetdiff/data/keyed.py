"""Random numbers that belong to a sample: counter-based generators (Philox) keyed on (seed, global sample index).

Each purpose starts at a counter of its own, 2^192 blocks from the next, so that one more purpose moves no other draw.
Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
"""

from enum import IntEnum

import numpy as np

__all__ = ["Purpose", "keyed"]


class Purpose(IntEnum):
    """What the numbers are for; a value never gets another meaning, or runs would change."""

    SAMPLE = 0
    AUGMENTATION = 1
    CONCAT = 2
    LATENT = 3
    FEATURES = 4
    PRUNING = 5


def keyed(seed: int, sample: int, purpose: Purpose = Purpose.SAMPLE) -> np.random.Generator:
    """The generator of one global sample."""
    key, counter = np.array([seed, sample], dtype=np.uint64), np.array([0, 0, 0, purpose], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
