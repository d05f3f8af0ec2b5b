import math

import pytest
import torch

from samplers import PerImageNoise, slerp, slerp_grid, slerp_row

SHAPE = (3, 16, 16)
A, B = PerImageNoise([0, 1], SHAPE, dtype=torch.float64)()
SAME_NORM = B * A.norm() / B.norm()
NEARLY = [(A + 1e-6 * B, 1e-9), (-A + 1e-6 * B, 1e-9)]


def angle(a, b):
    u, v = a / a.norm(), b / b.norm()
    return 2 * math.atan2(float((u - v).norm()), float((u + v).norm()))


@pytest.mark.parametrize("b", [B, SAME_NORM, -A, A, 2 * A], ids=["b", "b of a's norm", "-a", "a", "2a"])
def test_the_ends_are_exact(b):
    assert torch.equal(slerp(A, b, 0.0), A)
    assert torch.equal(slerp(A, b, 1.0), b)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("b", "rounding"), [(SAME_NORM, 0), (3 * B, 0), (-A, 0), (A, 0), (-A + 1e-9 * B, 0), *NEARLY])
def test_the_norm_goes_linearly(b, rounding, t):
    """So it stays where both ends have it, also where the great circle is hardly or not determined."""
    expected = torch.lerp(A.norm(), b.norm(), t)
    torch.testing.assert_close(slerp(A, b, t).norm(), expected, rtol=1e-14 + rounding, atol=0)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("b", [B, -A, A, -A + 1e-6 * B])
def test_the_angle_is_covered_evenly(b, t):
    assert angle(A, slerp(A, b, t)) == pytest.approx(t * angle(A, b), abs=1e-7)


def test_the_way_is_the_closed_form_of_shoemake():
    theta = angle(A, SAME_NORM)
    expected = (math.sin(0.7 * theta) * A + math.sin(0.3 * theta) * SAME_NORM) / math.sin(theta)
    torch.testing.assert_close(slerp(A, SAME_NORM, 0.3), expected, rtol=0, atol=1e-13)


def test_there_and_back_is_the_same_way():
    torch.testing.assert_close(slerp(A, B, 0.3), slerp(B, A, 0.7), rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape", [(2,), (5,), SHAPE])
def test_half_way_between_opposite_noises_is_noise_at_right_angles(shape):
    a = torch.arange(1.0, 1 + math.prod(shape), dtype=torch.float64).reshape(shape)
    middle = slerp(a, -a, 0.5)
    assert float((middle * a).sum() / a.norm() ** 2) == pytest.approx(0, abs=1e-15)
    assert float(middle.norm() / a.norm()) == pytest.approx(1, abs=1e-15)


def test_keeps_dtype_and_shape():
    middle = slerp(A.float(), B.float(), 0.5)
    assert (middle.dtype, middle.shape) == (torch.float32, SHAPE)


def test_a_row_holds_both_ends():
    row = slerp_row(A, B, 4)
    assert torch.equal(row, torch.stack([A, slerp(A, B, 1 / 3), slerp(A, B, 2 / 3), B]))


def test_a_grid_has_its_corners_and_rows_between_its_edges():
    corners = PerImageNoise([0, 1, 2, 3], SHAPE)().reshape(2, 2, *SHAPE)
    grid = slerp_grid(corners, 3, 5)
    assert grid.shape == (3, 5, *SHAPE)
    assert torch.equal(grid[[0, 0, -1, -1], [0, -1, 0, -1]], corners.flatten(0, 1))
    middle = slerp(corners[0, 0], corners[1, 0], 0.5), slerp(corners[0, 1], corners[1, 1], 0.5)
    assert torch.equal(grid[1], slerp_row(*middle, 5))


def test_a_zero_vector_has_no_direction():
    with pytest.raises(ValueError, match=r"a, b: expected vectors that are not 0, got norms \d+.\d+, 0.0"):
        slerp(A, 0 * B, 0.5)


def test_a_row_has_two_ends():
    with pytest.raises(ValueError, match="n: expected at least the 2 ends, got 1"):
        slerp_row(A, B, 1)
