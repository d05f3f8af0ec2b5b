import numpy as np
import pytest
import torch

from unetdiff.training import memory


def test_the_peak_rises_with_what_is_touched_and_stays():
    before = memory.peak_memory()
    size = 2 * int(before) + 100
    touched = np.ones((size, 2**20), np.uint8)
    during = memory.peak_memory()
    assert size <= during < before + size + 100
    del touched
    assert memory.peak_memory() >= during


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_there_is_no_device_memory_without_a_gpu():
    assert memory.peak_device_memory() is None
