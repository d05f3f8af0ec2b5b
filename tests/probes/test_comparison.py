from dataclasses import replace

import numpy as np
import pytest

from unetdiff.errors import InputError
from unetdiff.features.cell import Cell
from unetdiff.probes.comparison import Comparison, best_result
from unetdiff.probes.knn import NearestNeighbours
from unetdiff.probes.labelled import LabelledFeatures, cells_called
from unetdiff.probes.linear import Linear

PROBES = {"linear": Linear(epochs=1, least_steps=60, batch=32), "knn": NearestNeighbours(neighbours=(1, 5))}


def results_of(features, **settings):
    return [result for name in PROBES for result in Comparison(**settings).run(name, PROBES[name], features)]


def test_the_informative_cell_is_found_and_noise_is_at_the_floor(stores):
    features = LabelledFeatures.open(stores())
    results = results_of(features, held_out=0.3)
    best = best_result(results)
    assert best.cells == (Cell("good", 0.1),)
    assert best.test > 0.85
    assert features.floor == pytest.approx(1 / 3)
    assert all(abs(result.test - features.floor) < 0.2 for result in results if result.cells[0].tap == "noise")


def test_no_choice_depends_on_the_test_labels(stores):
    features = LabelledFeatures.open(stores())
    permuted = replace(features, test_labels=np.random.default_rng(0).permutation(features.test_labels))
    plain, other = (results_of(features, held_out=0.3) for features in (features, permuted))
    assert best_result(plain).cells == best_result(other).cells
    for one, another in zip(plain, other, strict=True):
        assert (one.cells, one.validation, one.chosen) == (another.cells, another.validation, another.chosen)
    assert best_result(other).test < 0.6 < best_result(plain).test


def test_few_shots_follow_all_rows(stores):
    features = LabelledFeatures.open(stores(), "good@0.1")
    results = Comparison(shots=(2, 20), repeats=3).run("knn", PROBES["knn"], features)
    assert [result.shots for result in results] == [None, 2, 20]
    assert results[1].deviation > 0
    assert results[1].test < results[2].test


def test_cells_are_called_by_patterns_and_noise_levels():
    cells = tuple(Cell(tap, sigma) for tap in ("up.0", "up.1", "mid:input") for sigma in (0.5, 2.0))
    assert cells_called("up.*", cells) == cells[:4]
    assert cells_called("mid:input@2,up.0@0.5", cells) == (cells[0], cells[5])
    with pytest.raises(InputError, match="cells: expected a noise level among 0.5, 2 behind the @, got up.0@3"):
        cells_called("up.0@3", cells)
    with pytest.raises(InputError, match="cells: expected a pattern .* got donw"):
        cells_called("donw", cells)


@pytest.mark.parametrize(("name", "value"), [("noisy", False), ("sigmas", (0.1, 3.0))])
def test_splits_of_different_settings_are_refused(stores, name, value):
    with pytest.raises(InputError, match=f"features of one model and setting expected, got {name}"):
        LabelledFeatures.open(stores(test_settings={name: value}))


def test_splits_of_different_models_are_refused(stores):
    with pytest.raises(
        InputError, match="features of one model and setting expected, got weights abc of train and xyz"
    ):
        LabelledFeatures.open(stores(weights="xyz"))


def test_features_without_labels_are_refused(stores):
    with pytest.raises(InputError, match="train: features with labels expected"):
        LabelledFeatures.open(stores(labelled=False))
