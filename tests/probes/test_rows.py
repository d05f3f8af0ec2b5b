import numpy as np
import pytest
import torch

from unetdiff.errors import InputError
from unetdiff.probes.rows import Selected, blocks, read, read_flat, width_of


def test_selected_rows_are_those_rows():
    rows = np.arange(24.0).reshape(6, 2, 2, 1)
    selected = Selected(rows, np.array([1, 4, 5]))
    assert selected.shape == (3, 2, 2, 1)
    np.testing.assert_array_equal(selected[np.array([0, 2])], rows[[1, 5]])
    np.testing.assert_array_equal(selected[1:], rows[[4, 5]])


def test_blocks_are_all_rows_flat(monkeypatch):
    monkeypatch.setattr("unetdiff.probes.rows.BLOCK", 4)
    rows = np.arange(60, dtype=np.float16).reshape(10, 3, 2, 1)
    parts = list(blocks(rows))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert torch.equal(torch.cat(parts).cpu(), torch.arange(60.0).reshape(10, 6))
    assert width_of(rows) == 6


def test_reading_copies():
    rows = np.zeros((3, 2), np.float32)
    read(rows, slice(0, 3)).fill_(1)
    assert not rows.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_named_by_its_row(bad):
    rows = np.zeros((9, 2, 2, 2))
    rows[7, 1, 0, 0] = bad
    with pytest.raises(InputError, match="finite numbers expected, got others in row 7"):
        read_flat(rows, slice(4, 9))
    with pytest.raises(InputError, match="row 7"):
        read(rows, np.array([2, 7]))
