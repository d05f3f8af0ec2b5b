"""What is left of a node that was taken out (`unetdiff.removal`)."""

from torch import Tensor, nn

__all__ = ["Stub"]


class Stub(nn.Module):
    """out = shortcut(x) * residual_scale: the node without its branch; the projection is there where widths differ.

    Shapes: x (N, in_channels, H, W), shortcut_scale (1 or N, in_channels, 1, 1), skip-tuning's factor on the shortcut's
    input -> (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, residual_scale: float) -> None:
        super().__init__()
        self.residual_scale = residual_scale
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor, shortcut_scale: Tensor | None = None) -> Tensor:
        x = x if shortcut_scale is None else x * shortcut_scale
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        return x * self.residual_scale if self.residual_scale != 1 else x
