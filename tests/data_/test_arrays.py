"""Image arrays in .npy and .npz files: layouts, labels, and what is refused."""

import numpy as np
import pytest

from unetdiff.data import DataConfig, prepare
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
    monkeypatch.setattr("unetdiff.data.rows.CHUNK_BYTES", 2 * IMAGES[0].size)
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    data = packed(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.images, IMAGES.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.labels, LABELS)


def test_size_and_channels(tmp_path):
    np.save(tmp_path / "a.npy", np.full((2, 6, 9), 77, np.uint8))
    data = packed(tmp_path / "a.npy", size=4, channels=3)
    np.testing.assert_array_equal(data.images, np.full((2, 3, 4, 4), 77))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.astype(np.float32), "expected images of uint8, got float32"),
        (np.full((5, 6, 6), np.nan), "expected images of uint8, got float64"),
        (IMAGES.tolist(), "expected images of uint8, got int64"),
        (np.array([{}, {}], dtype=object), "expected images of uint8, got object"),
        (IMAGES[0, 0], r"expected images \(N,H,W\).*got \(7, 3\)"),
        (IMAGES[:0], r"expected images \(N,H,W\).*got \(0, 6, 7, 3\)"),
        (IMAGES[..., :2], "expected 1 or 3 channels"),
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
    with pytest.raises(InputError, match="expected the key images or x, got pictures"):
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
    with pytest.raises(InputError, match="source: expected fashion-mnist, a folder"):
        packed(tmp_path / "nothing")
