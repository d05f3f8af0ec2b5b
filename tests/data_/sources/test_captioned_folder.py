"""Folders with metadata.jsonl or metadata.csv: rows and images are one to one, in the order of the rows."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from unetdiff.data import DataConfig, prepare
from unetdiff.data.sources.columns import Columns
from unetdiff.errors import InputError

ROWS = [
    {"file_name": "b/2.png", "text": "two, \u201cquoted\u201d", "label": "even"},
    {"file_name": "1.png", "text": "one\nand a line", "label": "odd"},
    {"file_name": "b/4.png", "text": "", "label": "even"},
]


def save_images(folder, rows=ROWS):
    for row in rows:
        path = folder / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), int(path.stem)).save(path)


def write(folder, kind, rows):
    if kind == "jsonl":
        (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return
    with (folder / "metadata.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def packed(folder, **settings):
    return prepare(DataConfig(source=str(folder), **settings))


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_rows_describe_their_images(tmp_path, kind):
    save_images(tmp_path)
    write(tmp_path, kind, ROWS)
    data = packed(tmp_path)
    assert data.images[:, 0, 0, 0].tolist() == [2, 1, 4]
    assert data.captions == tuple(row["text"] for row in ROWS)
    assert data.classes == ("even", "odd")
    assert data.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_labels_may_be_numbers(tmp_path, kind):
    rows = [{**row, "label": number} for row, number in zip(ROWS, (10, 0, 2), strict=True)]
    save_images(tmp_path)
    write(tmp_path, kind, rows)
    data = packed(tmp_path)
    assert data.labels.tolist() == [10, 0, 2]
    assert data.classes == tuple(map(str, range(11)))


def test_columns_choose(tmp_path):
    save_images(tmp_path)
    write(tmp_path, "jsonl", [{**row, "vector": [number, 0.5]} for number, row in enumerate(ROWS)])
    data = packed(tmp_path, columns=Columns(caption="label", label=""))
    assert data.captions == ("even", "odd", "even")
    assert data.labels is None
    np.testing.assert_array_equal(data.vectors, [[0, 0.5], [1, 0.5], [2, 0.5]])


def test_train_and_test_have_metadata_of_their_own(tmp_path):
    for split, rows in (("train", ROWS), ("test", ROWS[:2])):
        save_images(tmp_path / split, rows)
        write(tmp_path / split, "jsonl", rows)
    assert [len(packed(tmp_path, split=split)) for split in ("train", "test")] == [3, 2]


def test_unreadable_images_leave_with_their_captions(tmp_path):
    rows = [{"file_name": f"{number}.png", "text": str(number)} for number in range(100)]
    save_images(tmp_path, rows)
    write(tmp_path, "jsonl", rows)
    (tmp_path / "7.png").write_bytes(b"no picture")
    data = packed(tmp_path)
    assert data.captions == tuple(str(number) for number in range(100) if number != 7)
    assert data.images[:, 0, 0, 0].tolist() == list(map(int, data.captions))


def test_a_changed_caption_is_packed_anew(tmp_path):
    save_images(tmp_path)
    write(tmp_path, "jsonl", ROWS)
    before = packed(tmp_path)
    write(tmp_path, "jsonl", [{**row, "text": row["text"] + "!"} for row in ROWS])
    assert packed(tmp_path).captions == tuple(f"{caption}!" for caption in before.captions)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, ROWS[0]], "each in one row only, got 'b/2.png' in row 3"),
        ([*ROWS, {"file_name": "no.png", "text": ""}], "file_name to be an image in .*, got 'no.png' in row 3"),
        ([*ROWS, {"file_name": "../x.png", "text": ""}], "file_name to be an image in .*, got '../x.png'"),
        ([*ROWS[:2], {"text": "nameless"}], "file_name to be an image in .*, got None in row 2"),
        (ROWS[:2], "expected a row for each of 3 images, got none for 1, b/4.png among them"),
        ([*ROWS[:2], {**ROWS[2], "text": 5}], "text: expected a text in every row, got 5 at row 2"),
        ([*ROWS[:2], {"file_name": "b/4.png"}], "label: expected a name in every row, got None at row 2"),
        ([*ROWS[:2], {**ROWS[2], "label": True}], "label: expected a name in every row, got True at row 2"),
        ([*ROWS[:2], ["b/4.png"]], "expected a JSON object in line 3"),
    ],
)
def test_rows_that_are_refused(tmp_path, rows, message):
    save_images(tmp_path)
    write(tmp_path, "jsonl", rows)
    with pytest.raises(InputError, match=rf"metadata\.jsonl.*{message}"):
        packed(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file_name,text\n1.png", "expected 2 cells in line 2"),
        ("file_name,text\n1.png,a,b", "expected 2 cells in line 2"),
        ('file_name,text\n1.png,"a', "cannot be read"),
        (b"file_name,text\n1.png,\xff", "cannot be read"),
    ],
)
def test_csv_files_that_are_refused(tmp_path, content, message):
    save_images(tmp_path, ROWS[1:2])
    (tmp_path / "metadata.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=rf"metadata\.csv: {message}"):
        packed(tmp_path)
