"""Pictures of tensors: 8-bit pixels, labelled grids, and PNG files that carry how they were made.

Facts are kept as PNG text chunks (PNG specification, 11.3.4), one per fact, where any image tool shows them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin
from torch import Tensor

from unetdiff.atomic import replacing
from unetdiff.data.framing import DECODING_ERRORS, Framing
from unetdiff.errors import InputError

__all__ = [
    "Pixels",
    "from_pixels",
    "from_uint8",
    "grid",
    "read_facts",
    "read_pixels",
    "read_png",
    "save_png",
    "to_uint8",
]

Pixels = NDArray[np.uint8]

GAP = 2
TEXT_SIZE = 14


def to_uint8(images: Tensor, value_range: tuple[float, float] = (-1.0, 1.0)) -> Pixels:
    """(N, C, H, W) in `value_range` to (N, H, W, C) pixels: rounded to the nearest, clamped to 0..255."""
    finite = images.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        raise InputError(f"image {int(finite.int().argmin())}: finite values expected, got NaN or infinity")
    low, high = value_range
    levels = ((images - low) * (255 / (high - low))).round().clamp(0, 255)
    pixels: Pixels = levels.byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels


def from_uint8(pixels: Pixels, value_range: tuple[float, float] = (-1.0, 1.0)) -> Tensor:
    """Pixels (..., H, W, C) to (..., C, H, W) in `value_range`: the inverse of `to_uint8`."""
    low, high = value_range
    return torch.from_numpy(pixels.copy()).movedim(-1, -3) * ((high - low) / 255) + low


def from_pixels(pixels: Pixels) -> Image.Image:
    """One image (H, W, C): grey with one channel, RGB with three."""
    channels = pixels.shape[-1]
    if channels not in (1, 3):
        raise InputError(f"a picture: 1 or 3 channels expected, got {channels}")
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def grid(pixels: Pixels, columns: int, row_labels: Sequence[str] | None = None, scale: int = 1) -> Image.Image:
    """Lay (N, H, W, C) out row by row on white, each pixel `scale` times enlarged, labels left of their rows."""
    height, width = (side * scale for side in pixels.shape[1:3])
    rows = -(-len(pixels) // columns)
    font = ImageFont.load_default(TEXT_SIZE)
    margin = max((round(font.getlength(label)) + 4 * GAP for label in row_labels or ()), default=0)
    size = (margin + columns * (width + GAP) + GAP, rows * (height + GAP) + GAP)
    canvas = Image.new("L" if pixels.shape[-1] == 1 else "RGB", size, "white")
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        picture = from_pixels(image).resize((width, height), Image.Resampling.NEAREST)
        canvas.paste(picture, (margin + GAP + column * (width + GAP), GAP + row * (height + GAP)))
    draw = ImageDraw.Draw(canvas)
    for row, label in enumerate(row_labels or ()):
        middle = GAP + row * (height + GAP) + height / 2
        draw.text((margin - 2 * GAP, middle), label, fill="black", font=font, anchor="rm")
    return canvas


def save_png(path: Path, image: Image.Image, facts: Mapping[str, str]) -> None:
    """Write a PNG with its facts, atomically."""
    text = PngImagePlugin.PngInfo()
    for key, value in facts.items():
        text.add_text(key, value)
    with replacing(path) as staged:
        image.save(staged, format="PNG", pnginfo=text)


def read_facts(path: Path) -> dict[str, str]:
    """The facts that `save_png` wrote; the pixels are not decoded."""
    with _open(path) as image:
        return {str(key): value for key, value in image.info.items() if isinstance(value, str)}


def read_png(path: Path) -> Pixels:
    """The pixels (H, W, C) of a picture that `save_png` wrote."""
    with _open(path) as image:
        return _channels_last(image)


def read_pixels(
    path: str | Path,
    channels: int,
    size: tuple[int, int],
    resampling: Image.Resampling = Image.Resampling.LANCZOS,
) -> Pixels:
    """Any picture as (H, W, C): see `Framing.flatten`; then scaled and cropped to `size` (height, width).

    Raises:
        InputError: no picture.
    """
    height, width = size
    try:
        with Image.open(path) as image:
            picture = Framing(channels=channels).flatten(image)
            return _channels_last(ImageOps.fit(picture, (width, height), method=resampling))
    except DECODING_ERRORS as error:
        raise InputError(f"{path}: a picture expected, got something that cannot be read: {error}") from error


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            yield image
    except DECODING_ERRORS as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # there is no such file, or it may not be read
        raise InputError(
            f"{path}: a PNG picture expected, got something that cannot be read ({error}); delete it to have it made "
            "again"
        ) from error


def _channels_last(image: Image.Image) -> Pixels:
    pixels: Pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
