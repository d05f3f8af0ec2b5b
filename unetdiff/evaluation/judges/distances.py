"""Frechet and kernel distance to real images; the floor is that of real training images to the same."""

from dataclasses import dataclass

from unetdiff.evaluation.bootstrap import Interval, Resampling
from unetdiff.evaluation.distances import Distance, FrechetDistance, KernelDistance
from unetdiff.evaluation.generated import Rows
from unetdiff.evaluation.judges.compared import Compared
from unetdiff.evaluation.judges.judge import Candidates, Finding, Measure
from unetdiff.evaluation.kernel_subsets import KernelSubsets

__all__ = ["DistanceJudge"]


@dataclass(frozen=True, kw_only=True)
class DistanceJudge:
    """To the whole reference."""

    compared: Compared
    resampling: Resampling
    subsets: KernelSubsets

    def __call__(self, candidates: Candidates) -> Finding:
        """See `Judge`."""
        generated, reference = self.compared.generated(candidates), self.compared.real()
        floor = self.compared.in_their_place(len(generated))
        mean, deviation = self.subsets(generated, reference)
        usual = Measure(
            name=f"kernel distance, {self.subsets.count} subsets of {self.subsets.size_of(generated, reference)}",
            value=mean,
            deviation=deviation,
            floor=self.subsets(floor, reference)[0],
        )
        return Finding(
            measures=[
                self._measure("Frechet distance", FrechetDistance(reference), generated, floor),
                self._measure("kernel distance", KernelDistance(reference), generated, floor),
                usual,
            ]
        )

    def _measure(self, name: str, distance: Distance, generated: Rows, floor: Rows) -> Measure:
        value = distance.value(generated)
        replicates = distance.resampled(generated, self.resampling.rows(len(generated)))
        return Measure(name=name, value=value, interval=Interval.around(value, replicates), floor=distance.value(floor))
