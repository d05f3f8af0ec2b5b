"""Heads as probes: that they learn what can be learned and nothing else, and what they do with cells."""

import numpy as np
import pytest

from unetdiff.errors import InputError
from unetdiff.features.cell import Cell
from unetdiff.probes.fitting import Training
from unetdiff.probes.heads import AttentionProbe, CNNProbe, FusionProbe, MLPProbe
from unetdiff.probes.networks import CNN, MLP, Attention
from unetdiff.probes.task import Task, held_out_rows

FAST = Training(epochs=20, batch=16, least_steps=1, learning_rate=0.01)
SMALL = Attention(width=16, heads=2, layers=1, expansion=2)
PROBES = [
    MLPProbe(network=MLP(pool=1, widths=(16,)), training=FAST),
    CNNProbe(network=CNN(widths=(8,)), training=FAST),
    AttentionProbe(network=SMALL, training=FAST),
    FusionProbe(network=SMALL, training=FAST),
]
each_probe = pytest.mark.parametrize("probe", PROBES, ids=lambda probe: type(probe).__name__)


def sparks(count=96, seed=0):
    """Maps (N, 4, 3, 3) with a spark at a random position, in channel 0 or 1 as the class is."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(count) % 2)
    maps = 0.1 * generator.standard_normal((count, 4, 3, 3)).astype(np.float32)
    maps[np.arange(count), labels, generator.integers(3, size=count), generator.integers(3, size=count)] += 4
    return maps, labels


def task_of(labels):
    return Task(labels=labels, classes=2, held_out=held_out_rows(labels, fraction=0.25))


@each_probe
def test_what_can_be_told_is_learned(probe):
    maps, labels = sparks()
    [fitted] = probe.fit_each([maps], task_of(labels))
    assert fitted.validation == 1
    assert fitted.accuracy([sparks(seed=1)[0]], sparks(seed=1)[1]) == 1


@each_probe
def test_labels_at_random_are_told_no_better_than_by_chance(probe):
    maps, labels = sparks(count=160)
    shuffled = np.random.default_rng(1).permutation(labels)
    [fitted] = probe.fit_each([maps], Task(labels=shuffled, classes=2))
    other, truth = sparks(count=400, seed=1)
    assert abs(fitted.accuracy([other], np.random.default_rng(2).permutation(truth)) - 0.5) < 0.1  # 4 deviations


@each_probe
def test_the_same_fit_gives_the_same_scores(probe):
    maps, labels = sparks()
    first, second = (probe.fit_each([maps], task_of(labels))[0].scores([maps]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@each_probe
def test_a_rows_scores_do_not_depend_on_the_rows_beside_it(probe):
    maps, labels = sparks()
    [fitted] = probe.fit_each([maps], Task(labels=labels, classes=2))
    assert fitted.validation is None
    np.testing.assert_allclose(fitted.scores([maps])[:5], fitted.scores([maps[:5]]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("probe", PROBES[:3], ids=lambda probe: type(probe).__name__)
def test_a_probe_of_cells_is_fitted_to_each(probe):
    maps, labels = sparks()
    noise = np.random.default_rng(2).standard_normal(maps.shape).astype(np.float32)
    fitted = probe.fit_each([noise, maps], task_of(labels))
    assert [one.inputs for one in fitted] == [(0,), (1,)]
    assert fitted[1].validation > fitted[0].validation
    assert fitted[1].accuracy([noise, maps], labels) == 1


@each_probe
def test_means_over_positions_are_taken_too(probe, blobs):
    rows, labels = blobs()
    task = Task(labels=labels, classes=3)
    [fitted] = probe.fit_each([rows], task)
    assert fitted.accuracy([rows], labels) > 0.9


def test_fusion_tells_what_no_cell_tells_alone():
    """Of four classes, each cell tells two pairs apart; the places are at different noise levels, or at one."""
    (first, one), (second, other) = sparks(count=128), sparks(count=128, seed=1)
    task = Task(labels=2 * one + other, classes=4, held_out=held_out_rows(2 * one + other, fraction=0.25))
    probe = FusionProbe(network=SMALL, training=FAST)
    for cells in ([Cell("mid", 0.1), Cell("up", 0.1)], [Cell("mid", 0.1), Cell("mid", 0.5)]):
        [fused] = probe.for_cells(cells).fit_each([first, second], task)
        assert fused.validation > 0.9
    alone = AttentionProbe(network=SMALL, training=FAST).fit_each([first, second], task)
    assert max(each.validation for each in alone) < 0.75


def test_fusion_sorts_cells_by_noise_level():
    cells = [Cell("mid", 0.5), Cell("mid", 0.1), Cell("up", 0.5), Cell("up", 0.1)]
    assert FusionProbe().for_cells(cells).levels == ((1, 3), (0, 2))


def test_fusion_reads_the_cells_in_its_order():
    maps, labels = sparks()
    noise = np.random.default_rng(2).standard_normal((96, 2, 3, 3)).astype(np.float32)
    given, cells = [noise, maps, noise, maps], [Cell(tap, sigma) for sigma in (0.5, 0.1) for tap in ("mid", "up")]
    [fused] = FusionProbe(network=SMALL, training=FAST).for_cells(cells).fit_each(given, task_of(labels))
    assert fused.inputs == (2, 3, 0, 1)
    assert fused.accuracy(given, labels) == 1


def test_fusion_refuses_a_place_that_a_noise_level_lacks():
    cells = [Cell("mid", 0.5), Cell("mid", 0.1), Cell("up", 0.5)]
    with pytest.raises(InputError, match="every place at every noise level expected, got no up at sigma 0.1"):
        FusionProbe().for_cells(cells)


def test_fusion_refuses_a_place_whose_maps_differ():
    maps, labels = sparks()
    probe = FusionProbe().for_cells([Cell("mid", 0.5), Cell("mid", 0.1)])
    with pytest.raises(InputError, match="the same shapes at every noise level expected, got"):
        probe.fit_each([maps, maps[..., :2]], task_of(labels))


@each_probe
def test_features_that_are_not_finite_are_refused(probe):
    maps, labels = sparks()
    maps[3, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="finite numbers expected, got others in row 3"):
        probe.fit_each([maps], Task(labels=labels, classes=2))
