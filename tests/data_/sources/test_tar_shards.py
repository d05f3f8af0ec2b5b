"""Webdataset shards: samples of members that share a name, over one or many tar files."""

import json
import tarfile
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from unetdiff.data import DataConfig, prepare
from unetdiff.data.sources.columns import Columns
from unetdiff.errors import InputError


def picture(value, kind="PNG"):
    file = BytesIO()
    Image.new("L", (2, 2), value).save(file, kind)
    return file.getvalue()


def shard(path, members):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))
    return path


def sample(number, kind="png", **members):
    texts = {ending: json.dumps(text) if ending == "json" else text for ending, text in members.items()}
    encoded = {f"d.0/{number:04}.{ending}": text.encode() for ending, text in texts.items()}
    return {f"d.0/{number:04}.{kind}": picture(number, {"jpg": "JPEG"}.get(kind, kind)), **encoded}


def packed(source, **settings):
    return prepare(DataConfig(source=str(source), **settings))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_members_describe_their_picture(tmp_path, name, kind):
    members = {}
    for number in range(3):
        members |= sample(number, kind, cls=str(number % 2), txt=f"number \u201c{number}\u201d\n", npy="ignored")
    data = packed(shard(tmp_path / name, members))
    assert data.labels.tolist() == [0, 1, 0]
    assert data.captions == tuple(f"number \u201c{number}\u201d" for number in range(3))
    np.testing.assert_allclose(data.images[:, 0, 0, 0].astype(int), range(3), atol=0 if kind == "png" else 1)


def test_fields_of_json_are_columns(tmp_path):
    members = {}
    for number in range(3):
        members |= sample(number, json={"label": "abc"[number], "alt": "x" * number, "vector": [number, 1]}, txt="no")
    data = packed(shard(tmp_path / "a.tar", members), columns=Columns(caption="alt"))
    assert data.classes == ("a", "b", "c")
    assert data.captions == ("", "x", "xx")
    np.testing.assert_array_equal(data.vectors, [[0, 1], [1, 1], [2, 1]])


@pytest.mark.parametrize("source", ["", "s-{08..10}.tar"])
def test_shards_follow_one_another(tmp_path, source):
    for number in (8, 9, 10):
        shard(tmp_path / f"s-{number:02}.tar", sample(1, txt=str(number)) | sample(2, txt=f"{number} too"))
    data = packed(tmp_path / source)
    assert data.captions == ("8", "8 too", "9", "9 too", "10", "10 too")
    assert data.images[:, 0, 0, 0].tolist() == [1, 2] * 3


def test_splits_by_the_names_of_shards_or_folders(tmp_path):
    for split in ("train", "test"):
        (tmp_path / "b" / split).mkdir(parents=True)
        for path in (tmp_path / f"{split}-0.tar", tmp_path / "b" / split / "0.tar"):
            shard(path, sample(len(split)))
    for split in ("train", "test"):
        assert packed(tmp_path, split=split).images[0, 0, 0, 0] == len(split)
        assert packed(tmp_path / "b", split=split).images[0, 0, 0, 0] == len(split)


def test_one_of_two_pictures_is_chosen_by_its_ending(tmp_path):
    path = shard(tmp_path / "a.tar", sample(3) | {"d.0/0003.depth.png": picture(9)})
    assert packed(path).images[0, 0, 0, 0] == 3
    assert packed(path, columns=Columns(image="depth.png")).images[0, 0, 0, 0] == 9


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"0.txt": b"a"}, "0: expected a picture, got none"),
        ({**sample(0), "1.txt": b"a"}, "1: expected a picture, got none"),
        ({}, "expected a picture, got none"),
        ({**sample(0), "d.0/0000.jpg": b""}, r"expected one picture in d.0/0000, got d\.0/0000\.jpg too"),
        ({**sample(0, txt="a"), **sample(1)}, "txt: expected a text in every row, got None at row 1"),
        ({**sample(0, cls="a"), **sample(1)}, "cls: expected a name in every row, got None at row 1"),
        ({**sample(0), "d.0/0000.json": b"{"}, r"0000\.json cannot be read"),
        ({**sample(0), "d.0/0000.json": b"[]"}, r"expected a JSON object in d\.0/0000\.json, got list"),
        ({**sample(0), "d.0/0000.txt": b"\xff"}, r"0000\.txt cannot be read"),
    ],
)
def test_shards_that_are_refused(tmp_path, members, message):
    with pytest.raises(InputError, match=rf"a\.tar.*{message}"):
        packed(shard(tmp_path / "a.tar", members))


@pytest.mark.parametrize("size", [0, 100, 700, 1600])
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_truncated_shards_are_named(tmp_path, name, size):
    members = {}
    for number in range(20):
        members |= sample(number, txt=str(number))
    path = shard(tmp_path / name, members)
    content = path.read_bytes()
    path.write_bytes(content[: min(size, len(content) // 2)])
    with pytest.raises(InputError, match=r"a\.tar.*cannot be read"):
        packed(path)
