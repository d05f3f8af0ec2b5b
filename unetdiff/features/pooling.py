"""What is kept of a feature map: the mean of all positions, p x p means, or every position."""

import math
from dataclasses import dataclass
from typing import Literal

from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from unetdiff.plain import require
from unetdiff.tap_points import Form

__all__ = ["Pool", "Pooling", "require_pool"]

Pool = Literal["mean", "none"] | int
"""Mean over all positions, a p x p grid of means, or every position."""


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """Of images whose height is `aspect` times their width.

    A grid is no finer than the feature map itself. Tokens lie in the rows of a picture and are pooled as one.
    """

    pool: Pool
    aspect: float = 1.0

    def __post_init__(self) -> None:
        require_pool(self.pool)

    def __call__(self, x: Tensor, form: Form) -> Tensor:
        """(N, C) or (N, C, h, w) of a feature map, in float32."""
        x = x.float()
        if form == "tokens":
            x = rearrange(x, "n (h w) c -> n c h w", h=_rows(x.shape[1], self.aspect))
        if self.pool == "mean":
            return x.mean(dim=(2, 3))
        if self.pool == "none":
            return x
        assert isinstance(self.pool, int)
        return F.adaptive_avg_pool2d(x, (min(self.pool, x.shape[2]), min(self.pool, x.shape[3])))


def require_pool(pool: Pool) -> None:
    """Refuse what is no pooling."""
    fits = pool in ("mean", "none") or (type(pool) is int and pool >= 1)
    require(fits, "pool", "mean, none or a number of cells along an edge", pool)


def _rows(positions: int, aspect: float) -> int:
    """Into how many rows so many positions go, where height over width is nearest to `aspect`."""
    heights = [height for height in range(1, positions + 1) if positions % height == 0]
    return min(heights, key=lambda height: abs(math.log(height * height / positions / aspect)))
