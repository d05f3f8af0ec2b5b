"""One picture of any mode and size -> uint8 (C,H,W) of the wished channels and size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

__all__ = ["Framing"]

GREY_MODES = ("1", "L", "LA")


@dataclass(frozen=True, kw_only=True)
class Framing:
    """The form that every image is brought to; None leaves the size or the channels as they are."""

    size: int | None = None
    channels: int | None = None

    def frame(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Turn upright, flatten on white, convert, resize the shorter side (Lanczos) and crop the centre: (C,H,W)."""
        picture = _flatten(_eight_bit(ImageOps.exif_transpose(picture)))
        if self.channels is not None:
            picture = picture.convert("L" if self.channels == 1 else "RGB")
        if self.size is not None:
            picture = ImageOps.fit(picture, (self.size, self.size), method=Image.Resampling.LANCZOS)
        pixels = np.asarray(picture, dtype=np.uint8)
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def frame_all(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The same for an array (N,C,H,W) with 1 or 3 channels."""
        _, channels, height, width = images.shape
        if self.channels in (None, channels) and (self.size is None or height == width == self.size):
            return images
        rows = images[:, 0] if channels == 1 else images.transpose(0, 2, 3, 1)
        return np.stack([self.frame(Image.fromarray(row)) for row in rows])


def _eight_bit(picture: Image.Image) -> Image.Image:
    """16-bit grey to 8-bit grey: Pillow's own conversion clips at 255 instead of scaling."""
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray((np.asarray(picture).clip(0, 65535) / 257).round().astype(np.uint8))


def _flatten(picture: Image.Image) -> Image.Image:
    """Without transparency (laid on white), in mode L where the picture is grey, else in RGB."""
    mode = "L" if picture.mode in GREY_MODES else "RGB"
    if not picture.has_transparency_data:
        return picture.convert(mode)
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert(mode)
