"""Images of any size for a network that halves it: padded evenly by repeating the border, and cropped back."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

__all__ = ["Padding"]


@dataclass(frozen=True, kw_only=True)
class Padding:
    """What makes height and width of an image multiples of a stride."""

    height: int
    width: int
    stride: int

    def pad(self, x: Tensor) -> Tensor:
        """(N, C, height, width) -> (N, C, H, W)."""
        (top, bottom), (left, right) = (self._around(size) for size in (self.height, self.width))
        if top + bottom + left + right == 0:
            return x
        return F.pad(x, (left, right, top, bottom), mode="replicate")

    def crop(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, height, width)."""
        (top, _), (left, _) = (self._around(size) for size in (self.height, self.width))
        return x[:, :, top : top + self.height, left : left + self.width]

    def _around(self, size: int) -> tuple[int, int]:
        """Rows or columns before and behind."""
        extra = -size % self.stride
        return extra // 2, extra - extra // 2
