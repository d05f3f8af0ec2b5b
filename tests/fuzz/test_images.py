"""Pictures of odd modes and damaged ones: read as they are meant, or refused by name in one sentence, at every door."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.strategies import Damage, damages
from unetdiff.data import DataConfig, prepare
from unetdiff.data.framing import Framing
from unetdiff.data.sources.annotations import Annotations
from unetdiff.data.sources.decoding import Picture, decode
from unetdiff.errors import InputError
from unetdiff.pictures import read_facts, read_pixels, read_png

HEIGHT, WIDTH = 4, 6
COLOUR = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]
DEEP = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 2720
LEFT = np.arange(WIDTH) < 2
PALETTE = Image.fromarray(GREY % 4).convert("P")
PALETTE.putpalette([10, 20, 30, 200, 40, 50, 60, 70, 255, 0, 90, 0])
COLOURS = np.array([[10, 20, 30], [200, 40, 50], [60, 70, 255], [0, 90, 0]], np.uint8)
TURNED = Image.Exif()
TURNED[0x0112] = 6  # shown rotated by 90 degrees clockwise


def laid_on_white(pixels, opaque):
    return np.where(opaque[..., None], pixels, 255)


def grey(pixels):
    return np.repeat(pixels[..., None], 3, axis=-1)


def with_alpha(pixels):
    return Image.fromarray(np.dstack([pixels, np.where(LEFT, 255, 0)[None].repeat(HEIGHT, 0)]).astype(np.uint8))


MEANT = {
    "1.png": (Image.fromarray(GREY > 99), {}, grey(np.where(GREY > 99, 255, 0))),
    "L.png": (Image.fromarray(GREY), {}, grey(GREY)),
    "LA.png": (with_alpha(GREY), {}, laid_on_white(grey(GREY), np.tile(LEFT, (HEIGHT, 1)))),
    "P.png": (PALETTE, {}, COLOURS[GREY % 4]),
    "P with transparency.png": (PALETTE, {"transparency": 2}, laid_on_white(COLOURS[GREY % 4], GREY % 4 != 2)),
    "P with transparency.gif": (PALETTE, {"transparency": 2}, laid_on_white(COLOURS[GREY % 4], GREY % 4 != 2)),
    "RGB with transparency.png": (
        Image.fromarray(COLOUR),
        {"transparency": tuple(map(int, COLOUR[1, 2]))},
        laid_on_white(COLOUR, (COLOUR[1, 2] != COLOUR).any(axis=-1)),
    ),
    "RGBA.png": (with_alpha(COLOUR), {}, laid_on_white(COLOUR, np.tile(LEFT, (HEIGHT, 1)))),
    "CMYK.tif": (
        Image.merge(
            "CMYK", [Image.fromarray(255 - COLOUR[..., c]) for c in range(3)] + [Image.new("L", (WIDTH, HEIGHT))]
        ),
        {},
        COLOUR,
    ),
    "I;16.png": (Image.fromarray(DEEP), {}, grey((DEEP / 257).round())),
    "I;16.tif": (Image.fromarray(DEEP), {}, grey((DEEP / 257).round())),
    "I;16 with transparency.png": (
        Image.fromarray(DEEP),
        {"transparency": int(DEEP[2, 3])},
        laid_on_white(grey((DEEP / 257).round()), DEEP[2, 3] != DEEP),
    ),
    "I.tif": (Image.fromarray(DEEP.astype(np.int32)), {}, grey((DEEP / 257).round())),
    "turned by EXIF.png": (Image.fromarray(COLOUR), {"exif": TURNED}, np.rot90(COLOUR, -1)),
    "animated.gif": (PALETTE, {"save_all": True, "append_images": [PALETTE.rotate(180)]}, COLOURS[GREY % 4]),
    "animated.webp": (
        Image.fromarray(COLOUR),
        {"save_all": True, "append_images": [Image.fromarray(255 - COLOUR)], "lossless": True},
        COLOUR,
    ),
}


@pytest.mark.parametrize("name", MEANT)
def test_a_picture_is_read_as_it_is_meant(tmp_path, name):
    picture, options, expected = MEANT[name]
    picture.save(tmp_path / name, **options)
    packed = prepare(DataConfig(source=str(tmp_path), channels=3)).images
    assert np.array_equal(packed[0].transpose(1, 2, 0), expected)
    assert np.array_equal(read_pixels(tmp_path / name, 3, expected.shape[:2]), expected)


@pytest.mark.parametrize("name", ["1.png", "P.png", "P with transparency.png", "I;16.png"])
def test_a_picture_is_flattened_before_it_is_scaled(tmp_path, name):
    """Indices of a palette have no mean, and what is transparent has no colour of its own."""
    picture, options, expected = MEANT[name]
    picture.save(tmp_path / name, **options)
    plain = Image.fromarray(expected.astype(np.uint8)).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BOX)
    read = read_pixels(tmp_path / name, 3, (HEIGHT // 2, WIDTH // 2), Image.Resampling.BOX)
    assert np.abs(read.astype(int) - np.asarray(plain)).max() <= 1  # grey is rounded once, not three times


def encoded(picture, kind, **options):
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def bomb():
    """Some hundred bytes that say they are 400 million pixels."""
    content = encoded(Image.new("1", (2, 2)), "PNG")
    header = content[12:16] + struct.pack(">II", 20_000, 20_000) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


REFUSED = {
    "empty.png": lambda: b"",
    "half.png": lambda: encoded(Image.fromarray(COLOUR), "PNG")[:70],
    "text.jpg": lambda: b"no picture",
    "floats.tif": lambda: encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
    "integers.tif": lambda: encoded(Image.fromarray(DEEP.astype(np.int32) * 1000), "TIFF"),
    "bomb.png": bomb,
}


def one_sentence(error, name):
    return name in str(error) and "\n" not in str(error) and len(str(error)) < 500


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_by_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(REFUSED[name]())
    doors = [lambda: prepare(DataConfig(source=str(tmp_path))), lambda: read_pixels(path, 1, (8, 8))]
    if path.suffix == ".png":
        doors += [lambda: read_png(path)]
    for door in doors:
        with pytest.raises(InputError) as refused:
            door()
        assert one_sentence(refused.value, name)


DAMAGEABLE = {
    f"{picture.mode}.{kind}": encoded(picture, kind, exif=TURNED)
    for kind, modes in {
        "png": ("1", "L", "P", "RGBA"),
        "jpeg": ("L", "RGB", "CMYK"),
        "gif": ("P",),
        "tiff": ("L", "RGBA", "F"),
        "webp": ("RGB",),
        "bmp": ("RGB",),
    }.items()
    for picture in (Image.fromarray(COLOUR).convert(mode) for mode in modes)
}


def refusal(door):
    """What the door says; None where it opens."""
    try:
        door()
    except InputError as error:
        return error
    return None


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(name="L.tiff", hits=[Damage(kind="flipped", place=72.5 / len(DAMAGEABLE["L.tiff"]), value=1)])  # a type of tag
@given(name=st.sampled_from(sorted(DAMAGEABLE)), hits=st.lists(damages, min_size=1, max_size=3))
def test_a_damaged_picture_is_read_or_refused(tmp_path, name, hits):
    content = DAMAGEABLE[name]
    for hit in hits:
        content = hit(content or b"0")
    path = tmp_path / name
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about what it makes the best of
        (chunk,) = decode([Picture(path, str(path))], Annotations(), Framing(size=5, channels=3))
        refused = [refusal(lambda: read_pixels(path, 3, (5, 5))), refusal(lambda: (read_facts(path), read_png(path)))]
    assert [image.shape for image in chunk.images] == [(3, 5, 5)] * (not chunk.unreadable)
    assert all(one_sentence(reason, name) for reason in [*chunk.unreadable, *filter(None, refused)])
