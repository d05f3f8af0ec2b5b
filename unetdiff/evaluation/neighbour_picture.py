"""A picture of pairs: generated image and nearest training image, with distance and ratio below them."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unetdiff.evaluation.memorisation import Closeness
from unetdiff.pictures import Pixels, from_pixels, grid

__all__ = ["neighbour_picture"]

LEAST_WIDTH = 56
TEXT_SIZE = 11
TEXT_HEIGHT = 14


def neighbour_picture(images: Pixels, neighbours: Pixels, closeness: Closeness, columns: int) -> Image.Image:
    """Lay out a pair for each of N images and its neighbour, both (N, H, W, C); copies are marked as such."""
    pairs = np.concatenate([images, neighbours], axis=2)
    marks = [" copy" if copied else "" for copied in closeness.memorised]
    captions = [
        f"{distance:.3f} ({ratio:.2f}){mark}"
        for distance, ratio, mark in zip(closeness.distances, closeness.ratios, marks, strict=True)
    ]
    return grid(np.stack([_captioned(*pair) for pair in zip(pairs, captions, strict=True)]), columns)


def _captioned(pixels: Pixels, caption: str) -> Pixels:
    """An image (H, W, C), enlarged to hold its caption, on top of it."""
    picture = from_pixels(pixels)
    scale = -(-2 * LEAST_WIDTH // picture.width)
    size = (picture.width * scale, picture.height * scale)
    canvas = Image.new(picture.mode, (size[0], size[1] + TEXT_HEIGHT), "white")
    canvas.paste(picture.resize(size, Image.Resampling.NEAREST))
    font = ImageFont.load_default(TEXT_SIZE)
    place = (size[0] / 2, size[1] + TEXT_HEIGHT / 2)
    ImageDraw.Draw(canvas).text(place, caption, fill="black", font=font, anchor="mm")
    return np.asarray(canvas).reshape(canvas.height, canvas.width, -1)
