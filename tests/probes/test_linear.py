import numpy as np
import pytest
import torch

from unetdiff.errors import InputError
from unetdiff.probes.linear import Linear
from unetdiff.probes.standardisation import Standardisation
from unetdiff.probes.task import Task, held_out_rows

QUICK = Linear(epochs=2, least_steps=60, batch=16)


def task_of(labels, fraction=0.2):
    return Task(labels=labels, classes=3, held_out=held_out_rows(labels, fraction))


def cells_of(rows):
    """Four cells of two widths, one of them pictures."""
    generator = np.random.default_rng(1)
    return [
        rows,
        rows.reshape(-1, 3, 2, 1)[:, ::-1] ** 2,
        rows[:, :4],
        generator.standard_normal((len(rows), 4)),
    ]


def test_what_planes_separate_is_told_apart(blobs):
    rows, labels = blobs()
    [fitted] = QUICK.fit_each([rows], task_of(labels))
    others, their_labels = blobs(seed=1)
    assert fitted.validation == 1
    assert fitted.accuracy([others], their_labels) == 1


def test_of_permuted_labels_nothing_is_learned(blobs):
    rows, labels = blobs(600)
    permuted = np.random.default_rng(1).permutation(labels)
    [fitted] = QUICK.fit_each([rows], task_of(permuted))
    others, their_labels = blobs(600, seed=2)
    assert abs(fitted.accuracy([others], np.random.default_rng(3).permutation(their_labels)) - 1 / 3) < 0.08


def test_heads_trained_together_are_those_trained_alone(blobs):
    rows, labels = blobs(spread=3)
    cells, task = cells_of(rows), task_of(labels)
    together = QUICK.fit_each(cells, task)
    for place, cell in enumerate(cells):
        [alone] = QUICK.fit_each([cell], task)
        assert together[place].inputs == (place,)
        assert together[place].chosen == alone.chosen
        assert together[place].validation == alone.validation
        np.testing.assert_allclose(together[place].scores(cells), alone.scores([cell]), rtol=1e-4, atol=1e-4)


def test_heads_do_not_depend_on_the_order_of_cells(blobs):
    rows, labels = blobs(spread=3)
    cells, task = cells_of(rows), task_of(labels)
    forth, back = QUICK.fit_each(cells, task), QUICK.fit_each(cells[::-1], task)
    for one, other in zip(forth, reversed(back), strict=True):
        np.testing.assert_allclose(one.scores(cells), other.scores(cells[::-1]), rtol=1e-4, atol=1e-4)


def test_how_many_rows_are_read_together_changes_nothing(blobs, monkeypatch):
    rows, labels = blobs(spread=3)
    whole = QUICK.fit_each([rows], task_of(labels))[0].scores([rows])
    monkeypatch.setattr("unetdiff.probes.linear.READ_BYTES", 2500)
    np.testing.assert_array_equal(QUICK.fit_each([rows], task_of(labels))[0].scores([rows]), whole)


@pytest.mark.parametrize("factor", [1e-3, 1, 2.0**20])
def test_the_scale_of_features_does_not_matter(blobs, factor):
    rows, labels = blobs(spread=3)
    [plain] = QUICK.fit_each([rows], task_of(labels))
    [scaled] = QUICK.fit_each([rows * factor + 3 * factor], task_of(labels))
    np.testing.assert_allclose(plain.scores([rows]), scaled.scores([rows * factor + 3 * factor]), rtol=1e-3, atol=1e-3)


def test_held_out_labels_teach_nothing_that_is_validated(blobs):
    """With all held-out labels wrong, validation is 0 if they were not learned from."""
    rows, labels = blobs()
    held_out = held_out_rows(labels, 0.2)
    wrong = labels.copy()
    wrong[held_out] = (labels[held_out] + 1) % 3
    [fitted] = QUICK.fit_each([rows], Task(labels=wrong, classes=3, held_out=held_out))
    assert fitted.validation == 0


def test_the_rate_is_the_best_on_held_out_rows():
    """The classes differ by a little in what two values do not share, which small steps do not find in time."""
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 2
    shared, own = generator.standard_normal((2, 120))
    rows = np.stack([shared, shared + 0.1 * (2 * labels - 1) + 0.01 * own], axis=1)
    task = Task(labels=labels, classes=2, held_out=held_out_rows(labels, 0.3))
    slow, fast = (
        Linear(rates=(rate,), epochs=2, least_steps=60, batch=16).fit_each([rows], task)[0] for rate in (1e-4, 1.0)
    )
    [fitted] = Linear(rates=(1e-4, 1.0), epochs=2, least_steps=60, batch=16).fit_each([rows], task)
    assert slow.validation < 0.8 < 0.95 < fast.validation == fitted.validation
    assert fitted.chosen == {"rate": 1.0}
    np.testing.assert_allclose(fitted.scores([rows]), fast.scores([rows]), rtol=1e-4, atol=1e-4)


def test_with_nothing_held_out_there_is_no_validation(blobs):
    rows, labels = blobs()
    [fitted] = QUICK.fit_each([rows], Task(labels=labels, classes=3))
    assert fitted.validation is None
    assert fitted.chosen == {"rate": 0.01}


def test_standardised_rows_have_mean_0_and_variance_1(monkeypatch):
    monkeypatch.setattr("unetdiff.probes.rows.BLOCK", 7)
    rows = np.random.default_rng(0).standard_normal((50, 3)) * [1e-3, 1, 1e3] + [1, 1e3, -1e3]
    out = Standardisation.of(rows)(torch.from_numpy(rows.astype(np.float32)))
    assert torch.allclose(out.mean(dim=0), torch.zeros(3), atol=1e-3)
    assert torch.allclose(out.var(dim=0, correction=0), torch.ones(3), atol=1e-3)


def test_what_never_changes_becomes_0():
    rows = np.full((10, 2), 0.1, np.float32)
    assert not Standardisation.of(rows)(torch.from_numpy(rows)).any()


def test_another_number_of_rows_than_of_labels(blobs):
    rows, labels = blobs()
    with pytest.raises(InputError, match="features: 90 rows expected, one for each label, got 80"):
        QUICK.fit_each([rows[:80]], task_of(labels))


@pytest.mark.parametrize(("field", "value"), [("rates", ()), ("rates", (-1.0,)), ("epochs", 0), ("batch", 0)])
def test_bad_settings(field, value):
    with pytest.raises(ValueError, match=field):
        Linear(**{field: value})
