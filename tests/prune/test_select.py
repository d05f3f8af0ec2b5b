from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetdiff.errors import InputError
from unetdiff.prune.select import Candidate, greedy, knapsack

PAIRS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100)), min_size=1, max_size=8)


def made(pairs):
    return [Candidate(name=str(index), saving=saving, score=score) for index, (saving, score) in enumerate(pairs)]


def total(candidates, names, field):
    return sum(getattr(candidate, field) for candidate in candidates if candidate.name in names)


def brute_force(candidates, least):
    """The least score of any set that saves enough."""
    names = [candidate.name for candidate in candidates]
    sets = chain.from_iterable(combinations(names, count) for count in range(len(names) + 1))
    return min(total(candidates, s, "score") for s in sets if total(candidates, s, "saving") >= least)


@given(pairs=PAIRS, share=st.floats(0, 1))
def test_the_knapsack_is_the_best_of_all_sets(pairs, share):
    candidates = made(pairs)
    least = round(share * sum(saving for saving, _ in pairs))
    chosen = knapsack(candidates, least)
    assert total(candidates, chosen, "saving") >= least
    assert total(candidates, chosen, "score") == brute_force(candidates, least)


@given(pairs=PAIRS, share=st.floats(0, 1), cells=st.integers(1, 20))
def test_rounded_savings_are_on_the_safe_side(pairs, share, cells):
    candidates = made(pairs)
    least = round(share * sum(saving for saving, _ in pairs))
    for chosen in (knapsack(candidates, least, cells), greedy(candidates, least)):
        assert total(candidates, chosen, "saving") >= least
        assert total(candidates, chosen, "score") >= brute_force(candidates, least)
        assert list(chosen) == sorted(chosen, key=int)


def test_greedy_takes_what_is_cheap_for_its_size_and_the_knapsack_what_is_cheap_in_sum():
    candidates = made([(6, 1.0), (10, 2.0), (5, 1.2)])
    assert greedy(candidates, 11) == ("0", "1")
    assert knapsack(candidates, 11) == ("0", "2")


def test_greedy_leaves_what_a_later_choice_made_needless():
    assert greedy(made([(6, 1.0), (10, 2.0)]), 10) == ("1",)


def test_nothing_to_save_takes_nothing():
    assert knapsack(made([(1, 0), (2, 3)]), 0) == greedy(made([(1, 0), (2, 3)]), 0) == ()


@pytest.mark.parametrize("select", [knapsack, greedy])
def test_more_than_all_is_refused_with_what_can_be_reached(select):
    with pytest.raises(InputError, match="a saving of at most 3 can be reached, .*, got 4"):
        select(made([(1, 1), (2, 1)]), 4)


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="mid: score: expected a number of 0 or more, got nan"):
        Candidate(name="mid", saving=1, score=float("nan"))
