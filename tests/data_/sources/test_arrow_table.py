"""Parquet files and hub data sets: pictures as `datasets` stores them, class names, and what is refused."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from unetdiff.data import DataConfig, prepare
from unetdiff.data.sources.columns import Columns
from unetdiff.errors import InputError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

CAPTIONS = ["a", "b \u201cc\u201d", "", "d", "e", "f"]


def png(value):
    file = BytesIO()
    Image.new("L", (2, 2), value).save(file, "PNG")
    return file.getvalue()


def table(pictures=None, **columns):
    pictures = [{"bytes": png(value), "path": None} for value in range(6)] if pictures is None else pictures
    return {"image": pictures, **columns}


def packed(source, **settings):
    return prepare(DataConfig(source=str(source), **settings))


@pytest.mark.parametrize("wrap", [lambda data: {"bytes": data, "path": "x.png"}, lambda data: data])
def test_structs_and_bytes(tmp_path, wrap):
    pictures = [wrap(png(value)) for value in range(6)]
    columns = table(pictures, label=[1, 0, 2, 2, 1, 0], text=CAPTIONS, vector=[[value, 0.5] for value in range(6)])
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=2)
    data = packed(tmp_path / "a.parquet")
    assert data.images[:, 0, 0, 0].tolist() == list(range(6))
    assert data.labels.tolist() == [1, 0, 2, 2, 1, 0]
    assert data.captions == tuple(CAPTIONS)
    np.testing.assert_array_equal(data.vectors, columns["vector"])


def test_paths_are_beside_the_file(tmp_path):
    (tmp_path / "7.png").write_bytes(png(7))
    pq.write_table(pa.table({"image": ["7.png"]}), tmp_path / "a.parquet")
    assert packed(tmp_path / "a.parquet").images.flatten().tolist() == [7] * 4


def test_a_folder_of_shards_has_its_splits(tmp_path):
    (tmp_path / "data").mkdir()
    for number, name in enumerate(["train-00001", "train-00000", "test-00000", "validation-00000"]):
        pq.write_table(pa.table({"img": [png(number)]}), tmp_path / "data" / f"{name}.parquet")
    assert packed(tmp_path).images[:, 0, 0, 0].tolist() == [1, 0]
    assert packed(tmp_path, split="test").images[:, 0, 0, 0].tolist() == [2]
    pattern = tmp_path / "data" / "train-{00000..00001}.parquet"
    assert packed(pattern).images[:, 0, 0, 0].tolist() == [1, 0]
    with pytest.raises(InputError, match=r"got .*train-00002\.parquet"):
        packed(tmp_path / "data" / "train-{00000..00002}.parquet")


@pytest.fixture
def saved_by_datasets(tmp_path):
    """A folder as on the hub, written by `datasets`: 6 pictures in three named classes."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog", "axolotl"]),
            "caption": datasets.Value("string"),
        }
    )
    columns = {"picture": table()["image"], "label": [0, 1, 0, 1, 0, 1], "caption": CAPTIONS}
    (tmp_path / "set" / "data").mkdir(parents=True)
    whole = datasets.Dataset.from_dict(columns, features=features)
    for split, rows in (("train", range(4)), ("test", range(4, 6))):
        whole.select(rows).to_parquet(str(tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet"))
    return tmp_path / "set"


@pytest.mark.parametrize("prefix", ["", "hf:"])
def test_what_datasets_wrote_is_read_alike_as_files_and_by_name(saved_by_datasets, tmp_path, monkeypatch, prefix):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hub")
    train = packed(f"{prefix}{saved_by_datasets}")
    assert train.classes == ("cat", "dog", "axolotl")
    assert train.labels.tolist() == [0, 1, 0, 1]
    assert train.captions == tuple(CAPTIONS[:4])
    assert train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert packed(f"{prefix}{saved_by_datasets}", split="test").images[:, 0, 0, 0].tolist() == [4, 5]
    train = packed(f"{prefix}{saved_by_datasets}", columns=Columns(caption="", label="caption"))
    assert train.captions is None
    assert train.classes == ("", "a", "b \u201cc\u201d", "d")


def test_a_name_and_its_configuration_reach_the_hub(saved_by_datasets, monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked = []

    def load(path, configuration, *, split):
        asked.append((path, configuration, split))
        return datasets.Dataset.from_parquet(str(saved_by_datasets / "data" / f"{split}-00000-of-00001.parquet"))

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", saved_by_datasets / "hub")
    monkeypatch.setattr("datasets.load_dataset", load)
    assert packed("hf:owner/pets:small", split="test").captions == ("e", "f")
    packed("hf:owner/pets")
    assert asked == [("owner/pets", "small", "test"), ("owner/pets", None, "train")]


def test_a_name_that_the_hub_does_not_know(monkeypatch):
    def load(*_, **__):
        raise FileNotFoundError("Dataset 'owner/nothing' doesn't exist")

    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.load_dataset", load)
    with pytest.raises(InputError, match="hf:owner/nothing: cannot be loaded: Dataset 'owner/nothing' doesn't exist"):
        packed("hf:owner/nothing")


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"photo": [png(0)]}, {}, "expected images under one of the names .*, got photo"),
        (table(text=[5] * 6), {}, "text: expected a text in every row, got 5 at row 0"),
        (table(text=[None] * 6), {}, "text: expected a text in every row, got None at row 0"),
        (table(label=[0.5] * 6), {}, "label: expected an integer label in every row, got 0.5 at row 0"),
        (table(label=[0, 1, 2, -1, 0, 0]), {}, "label: expected labels from 0, got -1 at row 3"),
        (table(), {"caption": "prompt"}, "expected columns.caption to be one of image, got prompt"),
        (table([[[0, 1], [2, 3]]]), {}, "row 0: expected image to be an encoded picture or a path, got list"),
        (table([None] * 6), {}, "unreadable images: expected at most 1%"),
    ],
)
def test_tables_that_are_refused(tmp_path, columns, settings, message):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        packed(tmp_path / "a.parquet", columns=Columns(**settings))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_damaged_files_are_named(tmp_path, share):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(table()), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read"):
        packed(path)


def test_damage_in_the_middle_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(table()), path, compression="gzip")
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 3] = bytes(len(content) // 3 - 4)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read"):
        packed(path)


def test_without_the_package(tmp_path, monkeypatch):
    pq.write_table(pa.table(table()), tmp_path / "a.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.dataset", None)
    with pytest.raises(InputError, match=r"a\.parquet: expected the package datasets.*pip install 'unetdiff\[data\]'"):
        packed(tmp_path / "a.parquet")
