"""Masks of images from files, at the size at which a network saw the images.

MASKS/train.npy          integers (N, H, W), or
MASKS/train/...          a picture for each image, which sorts by path as the images do: PNG with a palette or grey

What a pixel holds is the number of its class; 255 and numbers below 0 mean that its class is not known.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from unetdiff.data.framing import DECODING_ERRORS
from unetdiff.data.sources.image_folder import find_images
from unetdiff.errors import InputError

__all__ = ["UNKNOWN", "Masks", "read_masks"]

UNKNOWN = 255
MODES = ("1", "L", "P", "I", "I;16")

Masks = NDArray[np.int16]
"""(N, H, W), -1 where the class is not known."""


def read_masks(folder: Path, split: str, count: int, size: tuple[int, int]) -> Masks:
    """The masks of `count` images of `size` (height, width).

    Pictures are scaled and cropped as images are (the shorter side is resized, the centre cropped), each pixel taking
    the class of the nearest one.

    Raises:
        InputError: no masks, not one for each image, of another size, files without numbers, or nothing that is known.
    """
    array, pictures = folder / f"{split}.npy", folder / split
    if array.is_file():
        masks = _from_array(array, size)
    elif pictures.is_dir():
        masks = np.stack([_from_picture(path, size) for path in find_images(pictures)])
    else:
        raise InputError(f"masks: expected {array} or pictures in {pictures}, got neither")
    if len(masks) != count:
        raise InputError(f"masks: expected one for each of the {count} images of {split}, got {len(masks)}")
    masks[masks == UNKNOWN] = -1
    if masks.max() < 0:
        raise InputError(f"masks: a pixel of a known class in {split} expected, got none")
    return masks


def _from_array(path: Path, size: tuple[int, int]) -> Masks:
    try:
        masks = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: a NumPy array expected, got something that cannot be read: {error}") from error
    if not np.issubdtype(masks.dtype, np.integer) or masks.shape[1:] != size:
        height, width = size
        raise InputError(f"{path}: expected integers (N, {height}, {width}), got {masks.dtype} {masks.shape}")
    return _narrow(masks, path)


def _from_picture(path: Path, size: tuple[int, int]) -> Masks:
    height, width = size
    try:
        with Image.open(path) as picture:
            mode = picture.mode
            pixels = np.asarray(ImageOps.fit(picture, (width, height), method=Image.Resampling.NEAREST))
    except DECODING_ERRORS as error:
        raise InputError(f"{path}: a picture expected, got something that cannot be read: {error}") from error
    if mode not in MODES:
        raise InputError(f"{path}: a mask expected, grey or with a palette, got a picture of mode {mode}")
    return _narrow(pixels, path)


def _narrow(numbers: NDArray[np.integer], path: Path) -> Masks:
    """In 16 bits, with every unknown class as -1."""
    highest = int(numbers.max(initial=0))
    if highest > np.iinfo(np.int16).max:
        raise InputError(f"{path}: numbers of classes up to {np.iinfo(np.int16).max} expected, got {highest}")
    masks: Masks = np.where(numbers < 0, np.int16(-1), numbers).astype(np.int16)
    return masks
