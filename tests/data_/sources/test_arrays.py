"""Image arrays in .npy and .npz files: layouts, labels, and what is refused."""

import numpy as np
import pytest

from unetdiff.data import DataConfig, prepare
from unetdiff.data.sources.columns import Columns
from unetdiff.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
LABELS = np.array([2, 0, 1, 2, 0])


def packed(path, **settings):
    return prepare(DataConfig(source=str(path), **settings))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (IMAGES, IMAGES.transpose(0, 3, 1, 2)),
        (IMAGES.transpose(0, 3, 1, 2), IMAGES.transpose(0, 3, 1, 2)),
        (IMAGES[..., 0], IMAGES[:, None, ..., 0]),
        (IMAGES[..., :1], IMAGES[:, None, ..., 0]),
    ],
    ids=["NHWC", "NCHW", "NHW", "NHW1"],
)
@pytest.mark.parametrize("keys", [None, ("images", "labels"), ("x", "y")])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_layouts(tmp_path, stored, expected, keys, save):
    stored = np.ascontiguousarray(stored)
    if keys is None:
        np.save(tmp_path / "a.npy", stored)
        data = packed(tmp_path / "a.npy")
        assert data.labels is None
        assert data.classes == ()
    else:
        save(tmp_path / "a.npz", **dict(zip(keys, (stored, LABELS), strict=True)))
        data = packed(tmp_path / "a.npz")
        np.testing.assert_array_equal(data.labels, LABELS)
        assert data.classes == ("0", "1", "2")
    np.testing.assert_array_equal(data.images, expected)


def test_many_chunks_join_without_a_seam(tmp_path, monkeypatch):
    monkeypatch.setattr("unetdiff.data.sources.rows.CHUNK_BYTES", 2 * IMAGES[0].size)
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    data = packed(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.images, IMAGES.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.labels, LABELS)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
@pytest.mark.parametrize("channels", [2, 4, 5])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_any_number_of_channels_of_8_or_16_bits(tmp_path, dtype, channels, layout):
    images = np.random.default_rng(1).integers(0, 2 ** (8 * int(dtype[-1])), (3, channels, 7, 6)).astype(dtype)
    stored = images if layout == "channels_first" else np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    np.save(tmp_path / "a.npy", stored)
    for settings in ({}, {"layout": layout}, {"channels": channels}):
        data = packed(tmp_path / "a.npy", **settings)
        np.testing.assert_array_equal(data.images, images)
        assert data.images.dtype.isnative


def test_layout_is_asked_for_where_the_shape_does_not_show_it(tmp_path):
    images = np.arange(2 * 4 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 4)
    np.save(tmp_path / "a.npy", images)
    with pytest.raises(InputError, match=r"got \(4, 4, 4\); set layout to channels_first or channels_last"):
        packed(tmp_path / "a.npy")
    np.testing.assert_array_equal(packed(tmp_path / "a.npy", layout="channels_first").images, images)
    last = packed(tmp_path / "a.npy", layout="channels_last").images
    np.testing.assert_array_equal(last, images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("scale", [1, 257])
def test_every_depth_is_resized_alike(tmp_path, scale):
    """16-bit pixels give, up to rounding, the 8-bit result times 257; and every one of five channels its own."""
    dtype, middle = np.uint16 if scale > 1 else np.uint8, 80 + IMAGES // 3  # far from where 8 bits would be clipped
    np.save(tmp_path / "a.npy", middle)
    np.save(tmp_path / "b.npy", np.concatenate([middle, middle[..., :2]], axis=3).astype(dtype) * dtype(scale))
    expected = packed(tmp_path / "a.npy", size=4).images.astype(int)
    result = packed(tmp_path / "b.npy", size=4, layout="channels_last").images
    np.testing.assert_allclose(result[:, :3] / scale, expected, rtol=0, atol=1)
    np.testing.assert_array_equal(result[:, 3:], result[:, :2])


def test_grey_and_colour_of_16_bits(tmp_path):
    np.save(tmp_path / "grey.npy", np.full((2, 6, 9), 40000, np.uint16))
    np.save(tmp_path / "colour.npy", np.broadcast_to(np.array([10000, 20000, 60000], np.uint16), (2, 6, 9, 3)).copy())
    assert (packed(tmp_path / "grey.npy", channels=3).images == 40000).all()
    assert (packed(tmp_path / "colour.npy", channels=1).images == 2990 + 11740 + 6840).all()


def test_channels_that_cannot_be_made(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 6, 7, 4), np.uint8))
    with pytest.raises(InputError, match="channels: expected the 4 of the images, which have no grey or colour, got 3"):
        packed(tmp_path / "a.npy", channels=3)


def test_captions_and_vectors_beside_the_images(tmp_path):
    captions = ["red apple", "", "a \u201cbig\u201d \U0001f34e", "x", "y"]
    vectors = np.arange(10, dtype=np.float64).reshape(5, 2)
    np.savez(tmp_path / "a.npz", images=IMAGES, captions=captions, vectors=vectors)
    data = packed(tmp_path / "a.npz")
    assert data.captions == tuple(captions)
    assert data.vectors.dtype == np.float32
    np.testing.assert_array_equal(data.vectors, vectors)


def test_columns_say_which_keys_are_meant(tmp_path):
    np.savez(
        tmp_path / "a.npz", images=255 - IMAGES, mine=IMAGES, labels=LABELS, other=[["b", "a", "c"][i] for i in LABELS]
    )
    data = packed(tmp_path / "a.npz", columns=Columns(image="mine", label="other"))
    np.testing.assert_array_equal(data.images, IMAGES.transpose(0, 3, 1, 2))
    assert [data.classes[label] for label in data.labels] == [["b", "a", "c"][i] for i in LABELS]
    assert packed(tmp_path / "a.npz", columns=Columns(label="")).labels is None
    with pytest.raises(InputError, match=r"columns\.caption to be one of images, mine, labels, other, got words"):
        packed(tmp_path / "a.npz", columns=Columns(caption="words"))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"captions": ["a"] * 4}, "captions: expected one caption for each of 5 images, got 4"),
        ({"captions": [1, 2, 3, 4, 5]}, "captions: expected a text in every row, got .* at row 0"),
        ({"vectors": [[1, 2]] * 4}, "vectors: expected one vector for each of 5 images, got 4"),
        ({"vectors": [[1.0, 2], [3, np.nan]] + [[0, 0]] * 3}, "vectors: expected finite numbers, got .* at row 1"),
        ({"vectors": ["one"] * 5}, "vectors: expected as many numbers in every row"),
        ({"vectors": np.zeros((5, 2, 2))}, r"vectors: expected an array \(N, D\), got \(5, 2, 2\)"),
    ],
)
def test_captions_and_vectors_that_are_refused(tmp_path, extra, message):
    np.savez(tmp_path / "bad.npz", images=IMAGES, **extra)
    with pytest.raises(InputError, match=rf"bad\.npz: {message}"):
        packed(tmp_path / "bad.npz")


def test_size_and_channels(tmp_path):
    np.save(tmp_path / "a.npy", np.full((2, 6, 9), 77, np.uint8))
    data = packed(tmp_path / "a.npy", size=4, channels=3)
    np.testing.assert_array_equal(data.images, np.full((2, 3, 4, 4), 77))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.astype(np.float32), "expected images of uint8 or uint16, got float32"),
        (np.full((5, 6, 6), np.nan), "expected images of uint8 or uint16, got float64"),
        (IMAGES.tolist(), "expected images of uint8 or uint16, got int64"),
        (np.array([{}, {}], dtype=object), "expected images of uint8 or uint16, got object"),
        (IMAGES[0, 0], r"expected images \(N,H,W\).*got \(7, 3\)"),
        (IMAGES[:0], r"expected images \(N,H,W\).*got \(0, 6, 7, 3\)"),
        (np.asfortranarray(IMAGES), "expected images in C order"),
    ],
)
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_images_that_are_refused(tmp_path, images, message, kind):
    path = tmp_path / f"bad.{kind}"
    np.save(path, images) if kind == "npy" else np.savez(path, images=images)
    with pytest.raises(InputError, match=rf"bad\.{kind}.*{message}"):
        packed(path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1, 2, -1, 0]), "expected labels from 0, got -1 at row 3"),
        (np.array([0, 1, np.nan, 1, 0]), "expected integer labels, got float64"),
        (LABELS[:4], r"expected one label for each of 5 images, got an array \(4,\)"),
        (LABELS[:, None], r"got an array \(5, 1\)"),
    ],
)
def test_labels_that_are_refused(tmp_path, labels, message):
    np.savez(tmp_path / "bad.npz", images=IMAGES, labels=labels)
    with pytest.raises(InputError, match=rf"bad\.npz: labels.*{message}"):
        packed(tmp_path / "bad.npz")


def test_missing_key_lists_what_is_there(tmp_path):
    np.savez(tmp_path / "bad.npz", pictures=IMAGES)
    with pytest.raises(InputError, match="expected images under one of the names .*, got pictures"):
        packed(tmp_path / "bad.npz")


@pytest.mark.parametrize("kind", ["npy", "npz"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.7])
def test_truncated_files_are_named(tmp_path, kind, share):
    path = tmp_path / f"bad.{kind}"
    np.save(path, IMAGES) if kind == "npy" else np.savez(path, images=IMAGES)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=rf"bad\.{kind}"):
        packed(path)


def test_no_test_split(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    with pytest.raises(InputError, match=r"expected train for .*a\.npy"):
        packed(tmp_path / "a.npy", split="test")


def test_unknown_source(tmp_path):
    with pytest.raises(InputError, match="source: expected fashion-mnist, .*, got .*nothing"):
        packed(tmp_path / "nothing")
