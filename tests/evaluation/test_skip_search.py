"""The search over rho, on functions whose minimum is known."""

import numpy as np
import pytest

from unetdiff.evaluation.distances import Estimate
from unetdiff.evaluation.skip_search import best, golden_section, rho_curve


def exact(function):
    """A function measured without noise, and the list of where it was."""
    asked = []

    def distance(rho):
        asked.append(rho)
        return Estimate(value=function(rho), replicates=np.full(4, function(rho)))

    return distance, asked


def parabola(minimum):
    return exact(lambda rho: (rho - minimum) ** 2)


@pytest.mark.parametrize("minimum", [0.7, 0.7371, 0.8, 0.8999])
def test_golden_section_closes_in_on_the_minimum(minimum):
    distance, asked = parabola(minimum)
    taken = golden_section(distance, 0.7, 0.9, 50)
    assert abs(best(taken) - minimum) <= 0.01
    assert len(asked) == len(set(asked)) == len(taken)


@pytest.mark.parametrize("evaluations", range(8))
def test_no_more_evaluations_than_allowed(evaluations):
    distance, asked = parabola(0.77)
    golden_section(distance, 0.7, 0.9, evaluations)
    assert len(asked) == (evaluations if evaluations > 1 else 0)


def test_each_further_evaluation_narrows_by_the_golden_ratio():
    distance, asked = parabola(0.0)
    golden_section(distance, 0.0, 1.0, 8)
    assert sorted(asked)[::-1] == pytest.approx([0.618034**power for power in range(1, 9)], abs=1e-4)


def test_it_stops_where_noise_decides():
    asked = []

    def noisy(rho):
        asked.append(rho)
        return Estimate(value=rho, replicates=np.random.default_rng(len(asked)).normal(size=10))

    golden_section(noisy, 0.7, 0.9, 50)
    assert len(asked) == 2


def test_the_curve_holds_the_given_values_and_one():
    distance, asked = parabola(0.86)
    curve = rho_curve(distance, [0.8, 0.9, 0.7], 0)
    assert list(curve) == sorted(asked) == [0.7, 0.8, 0.9, 1.0]
    assert [estimate.value for estimate in curve.values()] == [(rho - 0.86) ** 2 for rho in curve]


@pytest.mark.parametrize(
    ("minimum", "bracket"), [(0.86, (0.8, 1.0)), (0.5, (0.7, 0.8)), (1.2, (0.9, 1.0))], ids=["inside", "low", "high"]
)
def test_refinement_stays_between_the_neighbours_of_the_best(minimum, bracket):
    distance, _ = parabola(minimum)
    added = set(rho_curve(distance, [0.7, 0.8, 0.9], 6)) - {0.7, 0.8, 0.9, 1.0}
    assert len(added) == 6
    assert all(bracket[0] < rho < bracket[1] for rho in added)


def test_of_equals_the_nearest_to_one_is_best():
    distance, _ = exact(lambda rho: 0.0)
    assert best({rho: distance(rho) for rho in (0.7, 0.9, 1.2)}) == 0.9


@pytest.mark.parametrize("rho", [-0.1, float("inf"), float("nan")])
def test_no_factor(rho):
    distance, asked = parabola(1)
    with pytest.raises(ValueError, match="rhos: expected finite numbers, 0 or more"):
        rho_curve(distance, [0.9, rho], 0)
    assert asked == []
