"""The packed cache: used again, made anew, complete or absent."""

import pickle
import resource
import threading
from dataclasses import replace

import numpy as np
import pytest

from unetdiff.data import DataConfig, PackedDataset, prepare
from unetdiff.data.framing import Framing
from unetdiff.data.packing import pack
from unetdiff.data.sources.source import Chunk
from unetdiff.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)


class Synthetic:
    """A source of constant images that calls `between` after its first chunk."""

    files = ()
    classes = ("a", "b")

    def __init__(self, between=lambda: None):
        self.between = between

    def __len__(self):
        return 4

    def chunks(self, framing):
        yield Chunk(images=np.zeros((2, 1, 3, 3), np.uint8), labels=np.array([0, 1]))
        self.between()
        yield Chunk(images=np.ones((2, 1, 3, 3), np.uint8), labels=np.array([1, 0]))


def test_rows_of_all_chunks_are_there(tmp_path):
    pack(Synthetic(), Framing(), tmp_path / "packed")
    data = PackedDataset.open(tmp_path / "packed")
    assert data.images[:, 0, 0, 0].tolist() == [0, 0, 1, 1]
    assert data.labels.tolist() == [0, 1, 1, 0]
    assert data.classes == ("a", "b")
    assert isinstance(data.images, np.memmap)


CAPTIONS = ("a \u201cred\u201d apple", "", "\U0001f34e", "a red apple")
VECTORS = np.array([[0.5, -1], [2, 3], [1e-30, 0], [0, 0]], np.float32)


class Described(Synthetic):
    """The same images with all that can be known of them."""

    def __init__(self, captions=CAPTIONS, vectors=VECTORS):
        super().__init__()
        self.captions, self.vectors = captions, vectors

    def chunks(self, framing):
        for start, chunk in zip((0, 2), super().chunks(framing), strict=True):
            rows = slice(start, start + 2)
            yield replace(chunk, captions=self.captions[rows], vectors=self.vectors[rows])


def test_captions_and_vectors_come_back_as_they_were(tmp_path):
    pack(Described(), Framing(), tmp_path / "packed")
    data = PackedDataset.open(tmp_path / "packed")
    assert data.captions == CAPTIONS
    assert data.vectors.dtype == np.float32
    np.testing.assert_array_equal(data.vectors, VECTORS)


def test_what_is_not_known_is_none(tmp_path):
    pack(Synthetic(), Framing(), tmp_path / "packed")
    data = PackedDataset.open(tmp_path / "packed")
    assert data.captions is None
    assert data.vectors is None


def test_fingerprint_covers_captions_and_vectors(tmp_path):
    sources = [Synthetic(), Described(), Described(captions=CAPTIONS[::-1]), Described(vectors=-VECTORS)]
    for number, source in enumerate(sources):
        pack(source, Framing(), tmp_path / str(number))
    assert len({PackedDataset.open(tmp_path / str(number)).fingerprint for number in range(4)}) == 4


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_pixels_keep_their_bits(tmp_path, dtype, white):
    class Bright(Synthetic):
        def chunks(self, framing):
            yield Chunk(images=np.full((4, 5, 3, 3), white, dtype), labels=np.zeros(4, int))

    pack(Bright(), Framing(), tmp_path / "packed")
    data = PackedDataset.open(tmp_path / "packed")
    assert data.images.dtype == dtype
    assert data.images.shape == (4, 5, 3, 3)
    assert data.white == data.images.max() == white


def test_second_use_reads_the_cache(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", IMAGES)
    config = DataConfig(source=str(tmp_path / "a.npy"), cache=tmp_path / "cache")
    first = prepare(config)
    monkeypatch.setattr("unetdiff.data.cache.pack", lambda *_: pytest.fail("packed again"))
    assert prepare(config).fingerprint == first.fingerprint


@pytest.mark.parametrize("change", [{"size": 4}, {"channels": 3}])
def test_other_settings_are_packed_apart(tmp_path, change):
    np.save(tmp_path / "a.npy", IMAGES)
    config = DataConfig(source=str(tmp_path / "a.npy"))
    other = DataConfig(source=str(tmp_path / "a.npy"), **change)
    assert prepare(config).folder != prepare(other).folder


def test_changed_source_is_packed_anew(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    config = DataConfig(source=str(tmp_path / "a.npy"))
    before = prepare(config)
    np.save(tmp_path / "a.npy", 255 - IMAGES)
    after = prepare(config)
    np.testing.assert_array_equal(after.images, 255 - before.images)
    assert after.fingerprint != before.fingerprint


def test_fingerprint_is_of_the_content(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.arange(50) % 2)
    np.savez_compressed(tmp_path / "b.npz", x=IMAGES, y=np.arange(50) % 2)
    np.savez(tmp_path / "c.npz", images=IMAGES, labels=np.arange(1, 51) % 2)
    a, b, c = (prepare(DataConfig(source=str(tmp_path / f"{name}.npz"))).fingerprint for name in "abc")
    assert a == b != c


def test_two_that_pack_at_once_both_get_the_data(tmp_path):
    inside = threading.Barrier(2, timeout=60)
    both = [
        threading.Thread(target=pack, args=(Synthetic(inside.wait), Framing(), tmp_path / "packed")) for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(PackedDataset.open(tmp_path / "packed")) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


def test_interruption_leaves_nothing(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(Synthetic(interrupt), Framing(), tmp_path / "packed")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_said_and_leaves_nothing(tmp_path):
    np.save(tmp_path / "a.npy", np.repeat(IMAGES, 1000, axis=0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(InputError, match="cannot pack the images: File too large"):
            prepare(DataConfig(source=str(tmp_path / "a.npy"), cache=tmp_path / "cache"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "cache" / "packed").iterdir()) == []


def test_cache_that_cannot_be_made(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    with pytest.raises(InputError, match="cannot pack the images: Not a directory"):
        prepare(DataConfig(source=str(tmp_path / "a.npy"), cache=tmp_path / "a.npy"))


def test_pickle_carries_the_folder_not_the_images(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    data = prepare(DataConfig(source=str(tmp_path / "a.npy")))
    content = pickle.dumps(data)
    assert len(content) < 500
    np.testing.assert_array_equal(pickle.loads(content).images, data.images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "val"}, "split: expected train or test, got val"),
        ({"size": 0}, "size: expected at least 1 pixel, got 0"),
        ({"channels": 0}, r"channels: expected 1 \(grey\), 3 \(colour\) or the number of an array, got 0"),
        ({"layout": "NCHW"}, "layout: expected channels_first or channels_last, got NCHW"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        DataConfig(**settings)
