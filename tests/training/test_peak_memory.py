"""Peaks of work whose living tensors can be counted by hand."""

import gc

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from unetdiff.training.peak_memory import peak_memory

KIB = 256  # float32 numbers in a KiB
CPU = torch.device("cpu")


def test_what_dies_makes_room():
    def work():
        a = torch.zeros(8 * KIB)
        b = a + 1
        del a
        return b * 2

    assert peak_memory(work, CPU) == 16 * 1024


def test_views_and_changes_in_place_take_nothing():
    assert peak_memory(lambda: torch.zeros(4, 2 * KIB).view(-1)[:KIB].add_(1), CPU) == 8 * 1024


def test_what_exists_already_does_not_count():
    a = torch.zeros(8 * KIB)
    assert peak_memory(lambda: a.mul_(2), CPU) == 0
    assert peak_memory(lambda: a.view(-1, 1) * 2, CPU) == 8 * 1024


@pytest.mark.parametrize("blocks", [2, 8])
def test_the_backward_pass_counts_what_the_forward_pass_keeps(blocks):
    x = torch.zeros(8 * KIB, requires_grad=True)

    def work():
        y = x
        for _ in range(blocks):
            y = y.exp()  # keeps its result
        y.backward(x.detach())
        x.grad = None

    assert peak_memory(work, CPU) == (blocks + 2) * 8 * 1024  # every result, a gradient and the one made of it


def test_gradient_checkpointing_takes_less():
    x = torch.zeros(8 * KIB, requires_grad=True)

    def block(y):
        return y.exp().exp().exp().exp()

    def work(run):
        y = x
        for _ in range(6):
            y = run(y)
        y.backward(x.detach())
        x.grad = None

    plain = peak_memory(lambda: work(block), CPU)
    checkpointed = peak_memory(lambda: work(lambda y: checkpoint(block, y, use_reentrant=False)), CPU)
    assert checkpointed < 0.6 * plain


def test_nothing_is_left_behind():
    peak_memory(lambda: torch.zeros(KIB), CPU)
    gc.collect()
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
