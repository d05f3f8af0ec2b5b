"""A vision model, judging whether images lead back to their captions: how far in front of other ones it finds them."""

from dataclasses import dataclass

import numpy as np

from unetdiff.evaluation.bootstrap import Interval
from unetdiff.evaluation.caption_finder import CaptionFinder
from unetdiff.evaluation.judges.judge import Candidates, Finding, Measure
from unetdiff.evaluation.retrieval import Measured, RetrievalScore
from unetdiff.model_info import JSON
from unetdiff.plain import to_plain
from unetdiff.tables import table

__all__ = ["CaptionJudge"]

ERRORS = 1.96
"""Standard errors on either side of a normal number, which 95% do not leave."""


@dataclass(frozen=True, kw_only=True)
class CaptionJudge:
    """What finds captions, what it says of real images with these captions, and `source`, where they are from."""

    finder: CaptionFinder
    real: RetrievalScore
    source: str
    features: str

    def __call__(self, candidates: Candidates) -> Finding:
        """See `Judge`."""
        numbers = {caption: number for number, caption in enumerate(self.finder.captions)}
        own = np.array([numbers[caption] for caption in candidates.shown if caption is not None])
        images = candidates.images
        ranks = np.concatenate([self.finder.ranks(images.pictures(part), own[part]) for part in images.batches()])
        generated, chance = RetrievalScore.of(ranks, own), RetrievalScore.by_chance(len(self.finder.captions))
        named = {"generated": generated, "real": self.real, "chance": chance}
        facts: dict[str, JSON] = {
            "captions": len(self.finder.captions),
            "features": self.features,
            "fitted": self.finder.fitted,
            **{name: to_plain(score) for name, score in named.items()},
        }
        return Finding(measures=_measures(generated, self.real), text=self._text(named), facts={"captions": facts})

    def _text(self, named: dict[str, RetrievalScore]) -> str:
        """A row a measure, with its standard error."""
        depths = named["chance"].recall
        rows = [["own caption", *named]]
        rows += [
            [f"among first {depth}", *(_cell(score.recall[depth], ".1%") for score in named.values())]
            for depth in depths
        ]
        rows.append(["median rank", *(_cell(score.median_rank, ".1f") for score in named.values())])
        return (
            f"{table(rows, left_aligned=[0])}\n{len(self.finder.captions)} captions of {self.source}, by "
            f"{self.features}, fitted to {self.finder.fitted} training images with other captions"
        )


def _measures(generated: RetrievalScore, real: RetrievalScore) -> list[Measure]:
    shares = [
        Measure(
            name=f"own caption among first {depth}",
            value=found.value,
            interval=_interval(found),
            floor=real.recall[depth].value,
            form="share",
        )
        for depth, found in generated.recall.items()
    ]
    rank = generated.median_rank
    return [
        *shares,
        Measure(
            name="median rank of own caption",
            value=rank.value,
            interval=_interval(rank),
            floor=real.median_rank.value,
        ),
    ]


def _interval(measured: Measured) -> Interval:
    """Of a normal number, from its bootstrap error."""
    half = ERRORS * measured.standard_error
    return Interval(low=measured.value - half, high=measured.value + half)


def _cell(measured: Measured, form: str) -> str:
    error = f" +- {measured.standard_error:{form}}" if measured.standard_error else ""
    return f"{measured.value:{form}}{error}"
