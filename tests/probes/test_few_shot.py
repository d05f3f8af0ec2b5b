import numpy as np
import pytest

from unetdiff.errors import InputError
from unetdiff.probes.few_shot import FewShot, draw
from unetdiff.probes.knn import NearestNeighbours
from unetdiff.probes.linear import Linear
from unetdiff.probes.task import Task

QUICK = Linear(epochs=1, least_steps=30, batch=16)


@pytest.mark.parametrize("shots", [1, 4, 30])
def test_a_draw_has_as_many_rows_of_each_class(shots):
    labels = np.repeat([0, 1, 2], [30, 60, 45])
    chosen = draw(labels, shots, np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(labels[chosen]), [shots] * 3)
    assert len(np.unique(chosen)) == 3 * shots


def test_more_shots_than_a_class_has():
    labels = np.repeat([0, 1], [30, 9])
    with pytest.raises(InputError, match="at least 10 rows of each class expected, got 9 of class 1"):
        draw(labels, 10, np.random.default_rng(0))


@pytest.mark.parametrize("probe", [NearestNeighbours(), QUICK])
def test_one_shot_suffices_where_classes_lie_apart(blobs, probe):
    rows, labels = blobs()
    others, their_labels = blobs(seed=1)
    train, test = ([features[:, :3], features[:, :2]] for features in (rows, others))
    results = FewShot(shots=1, repeats=3).run(probe, train, Task(labels=labels, classes=3), test, their_labels)
    assert [result.inputs for result in results] == [(0,), (1,)]
    assert results[0].accuracies == (1, 1, 1)
    assert (results[0].mean, results[0].deviation) == (1, 0)


def test_mean_and_deviation_over_different_draws(blobs):
    rows, labels = blobs(spread=3)
    others, their_labels = blobs(300, seed=1, spread=3)
    [result] = FewShot(shots=2, repeats=5).run(
        NearestNeighbours(), [rows], Task(labels=labels, classes=3), [others], their_labels
    )
    assert len(set(result.accuracies)) > 1
    assert result.mean == pytest.approx(sum(result.accuracies) / 5)
    squares = sum((one - result.mean) ** 2 for one in result.accuracies)
    assert result.deviation == pytest.approx((squares / 4) ** 0.5)


def test_draws_follow_from_the_seed(blobs):
    rows, labels = blobs(spread=3)
    task = Task(labels=labels, classes=3)
    one, again, other = (
        FewShot(shots=2, repeats=4, seed=seed).run(NearestNeighbours(), [rows], task, [rows], labels)[0].accuracies
        for seed in (0, 0, 1)
    )
    assert one == again != other


@pytest.mark.parametrize(("field", "value"), [("shots", 0), ("repeats", 0), ("held_out", 1.0)])
def test_bad_settings(field, value):
    with pytest.raises(ValueError, match=field):
        FewShot(**{"shots": 1, field: value})
