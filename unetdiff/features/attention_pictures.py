"""Attention maps as pictures: each token's over the images, in a row of its own."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from unetdiff.pictures import Pixels, from_pixels, grid
from unetdiff.plain import require

__all__ = ["overlaid", "token_grid"]

COLD, WARM, HOT = "#000040", "#d02000", "#ffff60"


def overlaid(pixels: Pixels, heat: Tensor, strength: float = 0.6) -> Image.Image:
    """An image (H, W, C), grey, under its map (h, w), from the map's least value, dark, to its greatest, bright."""
    picture = from_pixels(pixels).convert("L").convert("RGB")  # grey: colour says heat alone
    span = (heat.max() - heat.min()).clamp_min(1e-12)
    grey = Image.fromarray(((heat - heat.min()) / span * 255).round().byte().cpu().numpy())
    colours = ImageOps.colorize(grey.resize(picture.size, Image.Resampling.BILINEAR), COLD, HOT, mid=WARM)
    return Image.blend(picture, colours, strength)


def token_grid(pixels: Pixels, maps: Tensor, tokens: Sequence[str], scale: int = 1) -> Image.Image:
    """The images (N, H, W, C) in a row, below them a row for each token with its maps (N, M, h, w) over them.

    Args:
        pixels: the images.
        maps: of M tokens.
        tokens: labels of the first of these; the others are left out, they only fill up a short text.
        scale: enlarges every pixel.
    """
    require(len(maps) == len(pixels), "maps", f"one for each of {len(pixels)} images", len(maps))
    require(1 <= len(tokens) <= maps.shape[1], "tokens", f"labels of up to {maps.shape[1]} tokens", len(tokens))
    plain = [from_pixels(image).convert("RGB") for image in pixels]
    rows = [
        overlaid(image, map_[token]) for token in range(len(tokens)) for image, map_ in zip(pixels, maps, strict=True)
    ]
    return grid(np.stack([np.asarray(picture) for picture in (*plain, *rows)]), len(pixels), ["", *tokens], scale)
