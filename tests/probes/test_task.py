import numpy as np
import pytest

from unetdiff.errors import InputError
from unetdiff.probes.task import Task, held_out_rows

LABELS = np.repeat([0, 1, 2], [50, 30, 4])


def test_every_class_is_held_out_in_its_proportion():
    held_out = held_out_rows(LABELS, fraction=0.1)
    np.testing.assert_array_equal(np.bincount(LABELS[held_out]), [5, 3, 1])
    assert (np.diff(held_out) > 0).all()


def test_the_split_follows_from_the_seed():
    np.testing.assert_array_equal(held_out_rows(LABELS, seed=3), held_out_rows(LABELS, seed=3))
    assert (held_out_rows(LABELS, seed=3) != held_out_rows(LABELS, seed=4)).any()


def test_kept_and_held_out_rows_are_all_rows_once():
    task = Task(labels=LABELS, classes=3, held_out=held_out_rows(LABELS))
    np.testing.assert_array_equal(np.sort(np.concatenate([task.kept, task.held_out])), np.arange(len(LABELS)))


def test_a_class_of_one_row_cannot_be_split():
    with pytest.raises(InputError, match="at least 2 rows of each class expected, to hold one out, got 1 of class 2"):
        held_out_rows(np.array([0, 0, 1, 1, 2]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.array([0, 1, 3])}, "labels: expected numbers below 3"),
        ({"labels": np.array([-1, 1, 2])}, "labels: expected numbers below 3"),
        ({"labels": np.zeros((3, 1), int)}, "labels: expected one for each row"),
        ({"classes": 1}, "classes: expected at least 2"),
        ({"held_out": np.array([3])}, "held_out: expected numbers of rows below 3"),
        ({"held_out": np.array([0, 1, 2])}, "held_out: expected fewer rows"),
    ],
)
def test_bad_tasks(changes, message):
    with pytest.raises(ValueError, match=message):
        Task(**{"labels": np.array([0, 1, 2]), "classes": 3, **changes})
