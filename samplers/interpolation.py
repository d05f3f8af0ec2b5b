"""Between the noises of two seeds: along the great circle, since Gaussian noise lives near a sphere.

    u(t) = cos(t theta) u + sin(t theta) v,    theta the angle from a to b

u is the direction of a, v the direction at right angles to it towards b; the norm goes linearly from |a| to |b|. A
straight line would pass through noise of too small a variance. Shoemake 1985
(https://doi.org/10.1145/325334.325242); for diffusion Song et al. 2021 (https://arxiv.org/abs/2010.02502), section 5.3.
"""

import math

import torch
from torch import Tensor

__all__ = ["slerp", "slerp_grid", "slerp_row"]


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Go the share t of the way from a to b, each taken as one vector; t = 0 and 1 are a and b to the bit.

    Between opposite vectors all great circles are as good; a fixed one is taken.
    """
    if t in (0, 1):
        return (b if t else a).clone()
    flat_a, flat_b = (tensor.flatten().double() for tensor in (a, b))
    norm_a, norm_b = flat_a.norm(), flat_b.norm()
    if not (norm_a > 0 and norm_b > 0):
        raise ValueError(f"a, b: expected vectors that are not 0, got norms {float(norm_a)}, {float(norm_b)}")
    u, target = flat_a / norm_a, flat_b / norm_b
    across = target - (u @ target) * u
    theta = torch.atan2(across.norm(), u @ target)
    if across.norm() < math.sqrt(torch.finfo(torch.float64).eps):  # its direction would be rounding error
        across = _quarter_turn(u)
    v = across / across.norm()
    direction: Tensor = (t * theta).cos() * u + (t * theta).sin() * v
    return (torch.lerp(norm_a, norm_b, t) * direction).reshape(a.shape).to(a)


def slerp_row(a: Tensor, b: Tensor, n: int) -> Tensor:
    """Stack n even steps from a to b, both among them: (n, *a.shape)."""
    if n < 2:
        raise ValueError(f"n: expected at least the 2 ends, got {n}")
    return torch.stack([slerp(a, b, i / (n - 1)) for i in range(n)])


def slerp_grid(corners: Tensor, rows: int, columns: int) -> Tensor:
    """Interpolate between four noises, (2, 2, ...) to (rows, columns, ...); the corners stay what they are."""
    left, right = (slerp_row(top, bottom, rows) for top, bottom in corners.unbind(1))
    return torch.stack([slerp_row(a, b, columns) for a, b in zip(left, right, strict=True)])


def _quarter_turn(u: Tensor) -> Tensor:
    """Turn each pair of neighbours by 90 degrees: at right angles to u."""
    even, odd = u[0 : len(u) - 1 : 2], u[1::2]
    turned = torch.zeros_like(u)
    turned[0 : len(u) - 1 : 2], turned[1::2] = -odd, even
    return turned
