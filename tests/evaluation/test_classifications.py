"""The record of decisions: what is written is read, under the same settings only."""

import math

import pytest

from unetdiff.errors import InputError
from unetdiff.evaluation.classifications import Accuracy, Classifications, Decision

DECISIONS = [
    Decision(7, "cat", "dog", (0.5, 0.25)),
    Decision(2, "dog", "dog", (1.0, 1e-7)),
    Decision(3, "", "cat", (1, 2)),
]


def record(folder, **settings):
    return Classifications(folder=folder, settings={"seed": 0, **settings}, classes=("cat", "dog"))


def test_what_is_written_is_read_in_the_order_of_the_images(tmp_path):
    assert record(tmp_path).begin() == []
    record(tmp_path).write(DECISIONS[:1])
    record(tmp_path).write(DECISIONS)
    assert record(tmp_path).begin() == sorted(DECISIONS)
    heading, *_ = (tmp_path / "images.csv").read_text().splitlines()
    assert heading == "image,label,predicted,loss cat,loss dog"


def test_other_settings_are_refused(tmp_path):
    record(tmp_path, keep="5,1").begin()
    with pytest.raises(InputError, match="keep: expected 5,1, as there already, got 3,1"):
        record(tmp_path, keep="3,1").begin()


def test_accuracy_is_of_images_with_labels():
    assert Accuracy.of(DECISIONS) == (0.5, math.sqrt(0.25 / 2))
    assert Accuracy.of(DECISIONS[2:]) is None
