import numpy as np
import pytest

from unetdiff.probes.logistic import Logistic
from unetdiff.probes.task import Task, held_out_rows

linear_model = pytest.importorskip("sklearn.linear_model")


def test_what_planes_separate_is_told_apart(blobs):
    rows, labels = blobs()
    fitted = Logistic().fit(rows, Task(labels=labels, classes=3, held_out=held_out_rows(labels, 0.2)))
    others, their_labels = blobs(seed=1)
    assert fitted.validation == 1
    assert fitted.accuracy([others], their_labels) == 1


def test_c_is_the_best_on_held_out_rows_and_the_fit_is_to_all(blobs):
    """Few rows of much noise: weak weights are best, and scikit-learn on its own finds the same."""
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 3
    rows = generator.standard_normal((120, 60)) + np.eye(3, 60)[labels]
    held_out = held_out_rows(labels, 0.5)
    task = Task(labels=labels, classes=3, held_out=held_out)
    standard = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    reference = {
        strength: linear_model.LogisticRegression(C=strength, max_iter=1000).fit(standard[task.kept], labels[task.kept])
        for strength in (1e-3, 1e2)
    }
    validation = {strength: model.score(standard[held_out], labels[held_out]) for strength, model in reference.items()}
    fitted = Logistic(strengths=(1e-3, 1e2)).fit(rows, task)
    assert validation[1e-3] > validation[1e2]
    assert fitted.chosen["C"] == 1e-3
    assert fitted.validation == validation[1e-3]
    of_all = linear_model.LogisticRegression(C=1e-3).fit(standard, labels)
    np.testing.assert_allclose(fitted.scores([rows]), of_all.predict_log_proba(standard), rtol=1e-4, atol=1e-4)


def test_classes_that_are_not_there_are_never_predicted(blobs):
    rows, labels = blobs()
    fitted = Logistic(strengths=(1.0,)).fit(rows, Task(labels=labels + 2, classes=6))
    scores = fitted.scores([rows])
    assert np.isneginf(scores[:, [0, 1, 5]]).all()
    assert fitted.accuracy([rows], labels + 2) == 1


def test_the_limit_of_iterations_is_kept_and_reported(blobs):
    rows, labels = blobs(spread=3)
    fitted = Logistic(strengths=(100.0,), iterations=3).fit(rows, Task(labels=labels, classes=3))
    assert fitted.chosen["iterations"] == 3


@pytest.mark.parametrize(("field", "value"), [("strengths", ()), ("strengths", (0.0,)), ("iterations", 0)])
def test_bad_settings(field, value):
    with pytest.raises(ValueError, match=field):
        Logistic(**{field: value})
