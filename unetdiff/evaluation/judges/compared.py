"""Features of the images that are judged, of real ones to compare them with, and of real ones in their place."""

from dataclasses import dataclass

from unetdiff.evaluation.feature_space import FeatureSpace
from unetdiff.evaluation.generated import Rows
from unetdiff.evaluation.image_set import ImageSet
from unetdiff.evaluation.judges.judge import Candidates

__all__ = ["Compared"]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """In one space of features; no image is in both `reference` and `floor`."""

    space: FeatureSpace
    reference: ImageSet
    floor: ImageSet

    def generated(self, candidates: Candidates) -> Rows:
        """Of the images that are judged."""
        return self.space(candidates.images)

    def real(self, count: int | None = None) -> Rows:
        """Of the reference, or of at most `count` of its images."""
        return self.space(self.reference, None if count is None else min(count, len(self.reference)))

    def in_their_place(self, count: int) -> Rows:
        """Of `count` images of the floor, or of fewer where there are no more."""
        return self.space(self.floor, min(count, len(self.floor)))
