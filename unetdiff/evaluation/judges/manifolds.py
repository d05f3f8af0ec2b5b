"""Precision, recall, density and coverage beside as many real images; the floor is that of real training images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetdiff.evaluation.bootstrap import Resampling
from unetdiff.evaluation.judges.compared import Compared
from unetdiff.evaluation.judges.judge import Candidates, Finding, Measure
from unetdiff.evaluation.manifold import Manifolds

__all__ = ["ManifoldJudge"]


@dataclass(frozen=True, kw_only=True)
class ManifoldJudge:
    """Balls reach to the `k`-th neighbour. An interval is over the images that its mean is of, for these balls."""

    compared: Compared
    resampling: Resampling
    k: int

    def __call__(self, candidates: Candidates) -> Finding:
        """See `Judge`."""
        count = len(candidates.images)
        real = self.compared.real(count)
        found = _terms(Manifolds.of(self.compared.generated(candidates), real, self.k))
        floor = _terms(Manifolds.of(self.compared.in_their_place(count), real, self.k))
        return Finding(
            measures=[
                Measure(
                    name=name,
                    value=float(terms.mean()),
                    interval=self.resampling.of_mean(terms),
                    floor=float(floor[name].mean()),
                    form="number" if name == "density" else "share",
                )
                for name, terms in found.items()
            ]
        )


def _terms(manifolds: Manifolds) -> Mapping[str, NDArray[np.generic]]:
    return {
        "precision": manifolds.precision,
        "recall": manifolds.recall,
        "density": manifolds.density,
        "coverage": manifolds.coverage,
    }
