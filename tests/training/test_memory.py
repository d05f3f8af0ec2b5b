import subprocess
import sys

import numpy as np
import pytest
import torch

from unetdiff.training import memory

MEASURE = """
import numpy as np
from unetdiff.training.memory import peak_memory

before = peak_memory()
size = int(before) + 100
touched = np.ones((size, 2**20), np.uint8)
during = peak_memory()
del touched
print(before, size, during, peak_memory())
"""


def test_the_peak_rises_with_what_is_touched_and_stays():
    """In a process of its own, which does not count what the larger one needed that starts it."""
    larger = np.ones((256, 2**20), np.uint8)
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    before, size, during, after = map(float, done.stdout.split())
    assert before < memory.peak_memory() - len(larger) / 2
    assert size <= during < before + size + 100
    assert after >= during - 2  # Linux counts pages on each processor and sums them up now and then


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_there_is_no_device_memory_without_a_gpu():
    assert memory.peak_device_memory() is None
