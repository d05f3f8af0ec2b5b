"""Retrieval on made-up rows: what is perfect comes first, what tells nothing is at chance."""

import numpy as np
import pytest

from unetdiff.evaluation.retrieval import Measured, RetrievalScore, ranked
from unetdiff.evaluation.ridge import Ridge

RNG = np.random.default_rng(0)


class TestRanks:
    def test_queries_that_are_their_own_come_first(self):
        candidates = RNG.normal(size=(40, 8))
        own = RNG.integers(40, size=100)
        assert (ranked(3 * candidates[own], candidates, own) == 1).all()

    def test_opposites_come_last(self):
        candidates = RNG.normal(size=(40, 8))
        assert (ranked(-candidates, candidates, np.arange(40)) == 40).all()

    def test_places_are_those_of_cosines(self):
        angles = np.radians([0, 30, 80])
        candidates = np.stack([np.cos(angles), np.sin(angles)], axis=1) * [[1], [5], [0.2]]
        assert ranked(candidates[[0, 0, 0]], candidates, np.arange(3)).tolist() == [1, 2, 3]

    def test_a_query_that_tells_nothing_finds_nothing(self):
        assert ranked(np.zeros((1, 2)), np.eye(2), np.array([0])).tolist() == [2]


class TestScore:
    def test_shares_and_median(self):
        score = RetrievalScore.of(np.array([1, 4, 5, 11]), np.arange(4))
        assert {depth: measured.value for depth, measured in score.recall.items()} == {1: 0.25, 5: 0.75, 10: 0.75}
        assert score.median_rank.value == 4.5

    def test_the_error_of_a_share_is_binomial(self):
        hits = np.arange(400) % 4 == 0
        score = RetrievalScore.of(np.where(hits, 1, 20), np.arange(400))
        assert score.recall[1].standard_error == pytest.approx((0.25 * 0.75 / 400) ** 0.5, rel=0.1)

    def test_images_of_one_caption_count_as_one_for_the_error(self):
        ranks = RNG.integers(1, 20, size=100)
        once, thrice = RetrievalScore.of(ranks, np.arange(100)), RetrievalScore.of(ranks.repeat(3), np.arange(300) // 3)
        assert thrice == once

    def test_one_caption_alone_is_refused(self):
        with pytest.raises(ValueError, match="own: expected at least two different ones, got 1"):
            RetrievalScore.of(np.array([1, 2]), np.array([5, 5]))

    def test_random_queries_score_by_chance(self):
        own = np.arange(60).repeat(50)
        found = ranked(RNG.normal(size=(3000, 16)), RNG.normal(size=(60, 16)), own)
        score, chance = RetrievalScore.of(found, own), RetrievalScore.by_chance(60)
        assert {depth: measured.value for depth, measured in chance.recall.items()} == {1: 1 / 60, 5: 1 / 12, 10: 1 / 6}
        assert chance.median_rank == Measured(value=30.5, standard_error=0)
        for depth, measured in score.recall.items():
            assert abs(measured.value - chance.recall[depth].value) < 3 * measured.standard_error
        assert abs(score.median_rank.value - 30.5) < 3 * score.median_rank.standard_error


class TestRidge:
    def test_a_linear_map_is_found(self):
        x, weights = RNG.normal(3, 5, size=(50, 4)), RNG.normal(size=(4, 3))
        fitted = Ridge.fit(x, x @ weights + 7, penalty=1e-12)
        np.testing.assert_allclose(fitted(x[:5] + 1), (x[:5] + 1) @ weights + 7, rtol=0, atol=1e-8)

    def test_one_predictor_shrinks_by_one_plus_the_penalty(self):
        x = RNG.normal(size=(20, 1)) * 4 + 1
        fitted = Ridge.fit(x, 3 * x, penalty=0.5)
        np.testing.assert_allclose(fitted(x), 3 * (x.mean() + (x - x.mean()) / 1.5), rtol=0, atol=1e-12)

    def test_a_predictor_that_never_changes_is_ignored(self):
        x = RNG.normal(size=(20, 2))
        constant = np.concatenate([x, np.full((20, 1), 0.1)], axis=1)
        expected = Ridge.fit(x, x, penalty=0.1)(x)
        np.testing.assert_allclose(
            Ridge.fit(constant, x, penalty=0.1)(constant + np.array([0, 0, 9])), expected, rtol=0, atol=1e-9
        )

    @pytest.mark.parametrize(
        ("rows", "penalty", "message"),
        [(2, 1, "rows: expected"), (0, 1, "rows: expected"), (3, 0, "penalty: expected")],
    )
    def test_what_is_refused(self, rows, penalty, message):
        with pytest.raises(ValueError, match=message):
            Ridge.fit(np.zeros((rows, 2)), np.zeros((rows if rows != 2 else 3, 1)), penalty)
