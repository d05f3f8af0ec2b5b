"""The store of features: what is written is what is read, in pieces and in any order."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.manifests import MANIFEST, manifest
from unetdiff.errors import InputError
from unetdiff.features.cell import Cell
from unetdiff.features.store import MANIFEST_KEY, FeatureStore
from unetdiff.features.store_writer import StoreWriter

LABELS = np.arange(11) % 2


def features_of(described):
    rng = np.random.default_rng(0)
    return {
        cell: rng.standard_normal((described.images, *shape)).astype(described.settings.dtype)
        for cell, shape in described.row_shapes.items()
    }


def written(folder, described=MANIFEST, only=slice(None)):
    writer = StoreWriter(folder, described)
    writer.begin(LABELS)
    features = features_of(described)
    for name, rows in list(writer.missing.items())[only]:
        writer.write(name, {cell: value[rows.start : rows.stop] for cell, value in features.items()})
    return features


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_written_is_read(tmp_path, dtype):
    described = manifest({"dtype": dtype})
    features = written(tmp_path / "store", described)
    store = FeatureStore.open(tmp_path / "store")
    assert store.manifest == described
    assert store.cells == tuple(features)
    assert store.classes == ("a", "b")
    assert np.array_equal(store.labels, LABELS)
    assert len(list((tmp_path / "store").iterdir())) == 3 + 2
    for cell, value in features.items():
        assert store[cell].shape == value.shape
        assert np.asarray(store[cell]).dtype == dtype
        assert np.array_equal(store[cell], value)


@pytest.mark.parametrize(
    "index",
    [
        slice(None),
        slice(2, 9),
        slice(9, 1, -3),
        slice(5, 5),
        [10, 0, 3, 3, 4, 0],
        [-1, -11],
        np.arange(11) % 3 == 0,
        [[1, 9], [7, 2]],
        6,
        np.array([], np.int64),
        [],
    ],
)
def test_rows_are_indexed_as_arrays_are(tmp_path, index):
    features = written(tmp_path)
    store = FeatureStore.open(tmp_path)
    for cell, value in features.items():
        assert np.array_equal(store[cell][index], value[index])
        assert store[cell][index].shape == value[index].shape


@pytest.mark.parametrize("index", [11, [0, -12], np.ones(10, bool)])
def test_rows_that_are_not_there_are_refused(tmp_path, index):
    written(tmp_path)
    with pytest.raises(IndexError):
        FeatureStore.open(tmp_path)[Cell("conv_in", 0.1)][index]


def test_a_store_goes_on_where_it_stopped(tmp_path):
    written(tmp_path, only=slice(0, 2))
    made = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="3 files of features expected, 1 are missing, the first features-00002-of"):
        FeatureStore.open(tmp_path)
    assert list(StoreWriter(tmp_path, MANIFEST).missing.values()) == [range(8, 11)]
    features = written(tmp_path)
    assert made.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}.items()
    store = FeatureStore.open(tmp_path)
    assert all(np.array_equal(store[cell], value) for cell, value in features.items())


@pytest.mark.parametrize(
    ("settings", "change", "message"),
    [
        ({}, {"weights": "xyz"}, "weights: expected abc, as in the features there, got xyz"),
        ({"sigmas": (0.1, 2.0)}, {}, r"sigmas: expected \[0.1, 1.0\], as in the features there, got \[0.1, 2.0\]"),
        ({"seed": 1, "noisy": False}, {}, "noisy: expected True, as in the features there, got False"),
        ({}, {"data": "ghi"}, "data: expected def"),
        ({}, {"split": "test"}, "split: expected train"),
    ],
)
def test_features_that_depend_on_something_else_are_not_mixed(tmp_path, settings, change, message):
    written(tmp_path, only=slice(0, 1))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=message):
        StoreWriter(tmp_path, manifest(settings, **change))
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_failed_write_leaves_nothing(tmp_path):
    writer = StoreWriter(tmp_path, MANIFEST)
    writer.begin(LABELS)
    before = sorted(tmp_path.iterdir())
    name = next(iter(writer.missing))
    with pytest.raises(InputError, match=r"conv_in at sigma 0.1: expected float32 \(4, 3\), got float32 \(11, 3\)"):
        writer.write(name, features_of(MANIFEST))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("damage", ["truncated", "header", "another"])
def test_a_damaged_file_is_named(tmp_path, damage):
    written(tmp_path / "store")
    path = tmp_path / "store" / "features-00001-of-00003.safetensors"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "header":
        path.write_bytes(b"\xff" * path.stat().st_size)
    else:
        written(tmp_path / "other", manifest({"seed": 1}))
        path.write_bytes((tmp_path / "other" / path.name).read_bytes())
    with pytest.raises(InputError, match=f"{path}: a .*file of .*features .*expected"):
        FeatureStore.open(tmp_path / "store")


@pytest.mark.parametrize("number", [1, 2])
def test_a_file_of_other_rows_of_the_same_store_is_refused(tmp_path, number):
    written(tmp_path)
    first, other = (tmp_path / f"features-{one:05d}-of-00003.safetensors" for one in (0, number))
    other.write_bytes(first.read_bytes())
    with pytest.raises(InputError, match=f"{other}: a file of the features that the manifest describes expected"):
        FeatureStore.open(tmp_path)


@pytest.mark.parametrize(
    ("labels", "key", "words"),
    [
        (LABELS, manifest({"seed": 1}).key, "the labels of these images expected, got those of another store"),
        (LABELS[:-1], MANIFEST.key, r"11 labels expected, got int64 \(10,\)"),
        (LABELS.astype(float), MANIFEST.key, r"11 labels expected, got float64 \(11,\)"),
    ],
    ids=["another store", "fewer", "no integers"],
)
def test_other_labels_are_refused(tmp_path, labels, key, words):
    written(tmp_path)
    save_file({"labels": labels}, tmp_path / "labels.safetensors", metadata={MANIFEST_KEY: key})
    with pytest.raises(InputError, match=f"labels.safetensors: {words}"):
        FeatureStore.open(tmp_path)


def test_refusals(tmp_path):
    with pytest.raises(InputError, match="a store of features expected"):
        FeatureStore.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match=r"manifest.json: Manifest: expected every field without a default"):
        FeatureStore.open(tmp_path)
    written(tmp_path / "store")
    with pytest.raises(InputError, match="are stored expected, got conv_in at sigma 3"):
        FeatureStore.open(tmp_path / "store")[Cell("conv_in", 3.0)]
    (tmp_path / "store" / "labels.safetensors").unlink()
    with pytest.raises(InputError, match=r"labels.safetensors: labels of the images expected"):
        FeatureStore.open(tmp_path / "store")


def test_images_without_classes_have_no_labels(tmp_path):
    described = manifest(classes=())
    writer = StoreWriter(tmp_path, described)
    writer.begin()
    for name, rows in writer.missing.items():
        writer.write(name, {cell: v[rows.start : rows.stop] for cell, v in features_of(described).items()})
    assert FeatureStore.open(tmp_path).labels is None


def test_all_cells_of_a_file_share_one_map(tmp_path):
    written(tmp_path)
    store = FeatureStore.open(tmp_path)
    assert not any("_map" in vars(shard) for shard in store.shards)
    one, other = (store.shards[1][cell] for cell in (store.cells[0], store.cells[-1]))
    assert one.base is not None
    assert np.shares_memory(one, store.shards[1]._map)
    assert np.shares_memory(other, store.shards[1]._map)
    assert not one.flags.writeable


def test_the_manifest_counts_its_bytes(tmp_path):
    written(tmp_path)
    numbers = 11 * 2 * (3 + 8)
    assert MANIFEST.bytes == 4 * numbers
    assert manifest({"dtype": "float16"}).bytes == 2 * numbers
