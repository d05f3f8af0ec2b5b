import numpy as np
import pytest


@pytest.fixture
def blobs():
    """Features (N, 6) of three classes that planes separate, and their labels."""

    def make(count=90, seed=0, spread=0.3):
        generator = np.random.default_rng(seed)
        labels = generator.permutation(np.arange(count) % 3)
        centres = 4 * np.eye(3, 6) + 10
        return (centres[labels] + spread * generator.standard_normal((count, 6))).astype(np.float32), labels

    return make
