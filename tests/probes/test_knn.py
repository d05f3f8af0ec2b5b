import numpy as np
import pytest

from unetdiff.probes.knn import NearestNeighbours
from unetdiff.probes.task import Task, held_out_rows


def direct_scores(bank, labels, queries, k, temperature):
    """The definition, row by row in float64."""
    scores = np.zeros((len(queries), labels.max() + 1))
    for row, query in enumerate(queries.astype(float)):
        cosine = bank @ query / np.linalg.norm(bank, axis=1) / np.linalg.norm(query)
        for neighbour in np.argsort(-cosine)[:k]:
            scores[row, labels[neighbour]] += np.exp(cosine[neighbour] / temperature)
    return scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("block", [7, 4096])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_scores_are_those_of_the_definition(monkeypatch, block, k):
    monkeypatch.setattr("unetdiff.probes.rows.BLOCK", block)
    generator = np.random.default_rng(0)
    bank, queries = generator.standard_normal((40, 5)), generator.standard_normal((16, 5))
    labels = np.arange(40) % 4
    fitted = NearestNeighbours(neighbours=(k,)).fit(bank, Task(labels=labels, classes=4))
    scores = fitted.scores([queries])
    np.testing.assert_allclose(
        scores / scores.sum(axis=1, keepdims=True), direct_scores(bank, labels, queries, k, 0.07), rtol=2e-5, atol=1e-7
    )


def test_k_is_what_tells_held_out_rows_best():
    """Each row of the small class has one near neighbour of its own, then many of the large class."""
    generator = np.random.default_rng(0)
    angles = np.concatenate([np.linspace(0.6, 1.0, 10), np.linspace(0.605, 1.005, 10), generator.uniform(0, 1.5, 120)])
    labels = np.repeat([1, 0], [20, 120])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    held_out = np.arange(0, 10)
    fitted = NearestNeighbours(neighbours=(1, 100), temperature=1).fit(
        rows, Task(labels=labels, classes=2, held_out=held_out)
    )
    assert fitted.chosen == {"k": 1}


def test_validation_is_the_accuracy_on_held_out_rows_from_the_others(blobs):
    rows, labels = blobs(spread=5)
    held_out = held_out_rows(labels, 0.3)
    task = Task(labels=labels, classes=3, held_out=held_out)
    probe = NearestNeighbours(neighbours=(5,))
    fitted = probe.fit(rows, task)
    on_the_rest = probe.fit(rows[task.kept], Task(labels=labels[task.kept], classes=3))
    assert fitted.validation == on_the_rest.accuracy([rows[held_out]], labels[held_out])
    assert 0 < fitted.validation < 1


def test_no_more_neighbours_than_shots():
    assert NearestNeighbours().for_shots(15).neighbours == (10, 15)
    assert NearestNeighbours().for_shots(1).neighbours == (1,)


@pytest.mark.parametrize(("field", "value"), [("neighbours", ()), ("neighbours", (0,)), ("temperature", 0.0)])
def test_bad_settings(field, value):
    with pytest.raises(ValueError, match=field):
        NearestNeighbours(**{field: value})
