"""One picture of any mode and size -> (C,H,W) of the wished channels and size, and the same for arrays of pixels."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from unetdiff.data.pixels import Pixels, white
from unetdiff.errors import InputError

__all__ = ["DECODING_ERRORS", "Framing"]

DECODING_ERRORS = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow and framing raise where a file is damaged, no picture, too large, or of a mode without a known range."""

GREY_MODES = ("1", "L", "LA")
LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601, which Pillow takes for grey


@dataclass(frozen=True, kw_only=True)
class Framing:
    """The form that every image is brought to; None leaves the size or the channels as they are."""

    size: int | None = None
    channels: int | None = None

    def check_pictures(self) -> None:
        """InputError where pictures cannot have so many channels."""
        if self.channels not in (None, 1, 3):
            raise InputError(f"channels: expected 1 (grey) or 3 (colour) for pictures, got {self.channels}")

    def frame(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Flatten, resize the shorter side (Lanczos) and crop the centre: (C,H,W)."""
        picture = self.flatten(picture)
        if self.size is not None:
            picture = ImageOps.fit(picture, (self.size, self.size), method=Image.Resampling.LANCZOS)
        pixels = np.asarray(picture, dtype=np.uint8)
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def flatten(self, picture: Image.Image) -> Image.Image:
        """The first frame, turned upright, laid on white, 8 bits of L or RGB: a form in which the size may change."""
        picture = _flatten(_eight_bit(ImageOps.exif_transpose(picture)))
        return picture if self.channels is None else picture.convert("L" if self.channels == 1 else "RGB")

    def frame_all(self, images: Pixels) -> Pixels:
        """The same for an array (N,C,H,W); more than 8 bits and other channels than 1 or 3 are kept."""
        _, channels, height, width = images.shape
        if self.channels in (None, channels) and (self.size is None or height == width == self.size):
            return images
        if images.dtype == np.uint8 and channels in (1, 3) and self.channels in (None, 1, 3):
            rows = images[:, 0] if channels == 1 else images.transpose(0, 2, 3, 1)
            return np.stack([self.frame(Image.fromarray(row)) for row in rows])
        return np.stack([self._frame_planes(image) for image in images])

    def _frame_planes(self, image: Pixels) -> Pixels:
        """(C,H,W), in float32 inside: Pillow has neither 16-bit colour nor pictures of any number of channels."""
        planes = _with_channels(image.astype(np.float32), self.channels)
        if self.size is not None:
            side = (self.size, self.size)
            fitted = [ImageOps.fit(Image.fromarray(plane), side, method=Image.Resampling.LANCZOS) for plane in planes]
            planes = np.stack([np.asarray(plane) for plane in fitted])
        return planes.round().clip(0, white(image)).astype(image.dtype)


def _with_channels(planes: NDArray[np.float32], channels: int | None) -> NDArray[np.float32]:
    if channels in (None, len(planes)):
        return planes
    if (len(planes), channels) == (1, 3):
        return planes.repeat(3, axis=0)
    if (len(planes), channels) == (3, 1):
        return np.tensordot(np.array([LUMA], np.float32), planes, axes=1)
    raise InputError(
        f"channels: expected the {len(planes)} of the images, which have no grey or colour, got {channels}"
    )


def _eight_bit(picture: Image.Image) -> Image.Image:
    """16-bit grey to 8-bit grey: Pillow's own conversion clips at 255 instead of scaling, and forgets transparency."""
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if not picture.mode.startswith("I"):
        return picture
    pixels = np.asarray(picture)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("pixels outside of 16 bits have no known range")
    grey = Image.fromarray((pixels / 257).round().astype(np.uint8))
    if "transparency" not in picture.info:
        return grey
    opaque = Image.fromarray(np.where(pixels == picture.info["transparency"], 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, opaque))


def _flatten(picture: Image.Image) -> Image.Image:
    """Without transparency (laid on white), in mode L where the picture is grey, else in RGB."""
    mode = "L" if picture.mode in GREY_MODES else "RGB"
    if not picture.has_transparency_data:
        return picture.convert(mode)
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert(mode)
