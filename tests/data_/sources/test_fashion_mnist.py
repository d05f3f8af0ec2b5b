"""IDX files: what is read, where they are looked for, and what a damaged one gives."""

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from unetdiff.data import DataConfig, prepare
from unetdiff.data.sources.fashion_mnist import CLASSES, NAMES, find_fashion_mnist
from unetdiff.errors import InputError


def raw(folder, name, offset):
    return np.frombuffer(gzip.decompress((folder / f"{name}.gz").read_bytes()), np.uint8, offset=offset)


@pytest.mark.parametrize(("split", "count"), [("train", 400), ("test", 100)])
def test_packed_pixels_and_labels_are_the_files_own(fashion_mnist, split, count):
    data = prepare(DataConfig(split=split))
    images, labels = NAMES[split]
    assert data.classes == CLASSES
    assert data.images.dtype == np.uint8
    np.testing.assert_array_equal(data.images, raw(fashion_mnist, images, 16).reshape(count, 1, 28, 28))
    np.testing.assert_array_equal(data.labels, raw(fashion_mnist, labels, 8))
    np.testing.assert_array_equal(np.bincount(data.labels), count // 10)


def test_uncompressed_files_give_the_same_images(fashion_mnist, tmp_path):
    for path in fashion_mnist.glob("*.gz"):
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    assert prepare(DataConfig(source=str(tmp_path))).fingerprint == prepare(DataConfig()).fingerprint


def test_own_folder_comes_before_the_home_folder(fashion_mnist, monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    fetched = tmp_path / ".cache/unetdiff/fashion-mnist"
    shutil.copytree(fashion_mnist, fetched)
    assert find_fashion_mnist() == fashion_mnist


def test_missing_files_name_the_command_that_fetches_them(monkeypatch, tmp_path):
    monkeypatch.setattr("unetdiff.data.sources.fashion_mnist.search_folders", lambda: [tmp_path / "a", tmp_path / "b"])
    with pytest.raises(InputError, match=r"a, .*b; `unetdiff data fashion-mnist` fetches it"):
        prepare(DataConfig())


@pytest.fixture
def copy(fashion_mnist, tmp_path):
    return Path(shutil.copytree(fashion_mnist, tmp_path / "copy"))


def replace(folder, name, content):
    (folder / f"{name}.gz").write_bytes(gzip.compress(content))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (NAMES["train"][0], lambda content: content[:5000], "expected 400 images, got 6 before the file ends"),
        (NAMES["train"][0], lambda content: b"PK" + content[2:], "expected an IDX file of 3 dimensions"),
        (NAMES["train"][0], lambda _: b"", "expected an IDX file of 3 dimensions"),
        (NAMES["train"][1], lambda content: content[:-1] + b"\x0a", "expected labels from 0 to 9, got 10 at row 399"),
        (
            NAMES["train"][1],
            lambda content: struct.pack(">4BI", 0, 0, 8, 1, 399) + content[8:],
            "expected one label for each of 400 images",
        ),
    ],
)
def test_damaged_content_is_named(copy, name, damage, message):
    replace(copy, name, damage(gzip.decompress((copy / f"{name}.gz").read_bytes())))
    with pytest.raises(InputError, match=rf"{name}.*{message}"):
        prepare(DataConfig(source=str(copy)))


@pytest.mark.parametrize("size", [0, 5, 3000])
def test_truncated_compression_is_named(copy, size):
    images = copy / f"{NAMES['train'][0]}.gz"
    images.write_bytes(images.read_bytes()[:size])
    with pytest.raises(InputError, match=images.name):
        prepare(DataConfig(source=str(copy)))


def test_split_that_is_missing(copy):
    for name in NAMES["test"]:
        (copy / f"{name}.gz").unlink()
    with pytest.raises(InputError, match="no test part"):
        prepare(DataConfig(source=str(copy), split="test"))
