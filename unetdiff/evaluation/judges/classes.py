"""The share of images that a classifier gives the class that they should show; of real test images, its accuracy."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add

import numpy as np
import torch

from unetdiff.data import PackedDataset
from unetdiff.evaluation.bootstrap import Resampling
from unetdiff.evaluation.classifier import Classifier
from unetdiff.evaluation.consistency import ClassConsistency, class_consistency, dataset_consistency
from unetdiff.evaluation.judges.judge import Candidates, Finding, Measure

__all__ = ["ClassJudge"]


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Share of images with the right class, overall and in the order of the classes."""

    overall: float
    per_class: tuple[float, ...]

    @classmethod
    def of(cls, consistency: ClassConsistency) -> "Shares":
        """As plain numbers."""
        return cls(overall=consistency.share, per_class=consistency.per_class)


@dataclass(frozen=True, kw_only=True)
class ClassJudge:
    """A classifier with the accuracy that its folder states; `test` are real images of its classes, if any."""

    classifier: Classifier
    stated_accuracy: float
    test: PackedDataset | None
    resampling: Resampling

    def __call__(self, candidates: Candidates) -> Finding:
        """See `Judge`."""
        classes = self.classifier.config.classes
        numbers = {name: number for number, name in enumerate(classes)}
        labels = torch.tensor([numbers[name] for name in candidates.shown if name is not None])
        seen = reduce(
            add,
            (
                class_consistency(candidates.images.pictures(part), labels[part], self.classifier)
                for part in candidates.images.batches()
            ),
        )
        generated = Shares.of(seen)
        real = None if self.test is None else Shares.of(dataset_consistency(self.test, self.classifier))
        right = np.arange(len(labels)) < int(seen.hits.sum())  # which ones does not matter to a mean
        measure = Measure(
            name="right class",
            value=generated.overall,
            interval=self.resampling.of_mean(right),
            floor=None if real is None else real.overall,
            form="share",
        )
        facts = {
            "classes": list(classes),
            "generated": asdict(generated),
            "real": None if real is None else asdict(real),
            "stated_accuracy": self.stated_accuracy,
        }
        text = f"{_table(classes, generated, real)}\nthe classifier's stated accuracy: {self.stated_accuracy:.1%}"
        return Finding(measures=[measure], text=text, facts={"classes": facts})


def _table(classes: Sequence[str], generated: Shares, real: Shares | None) -> str:
    """A row a class: generated images, then real ones."""
    width = max(map(len, classes))
    rows = [("all", generated.overall, real and real.overall)]
    rows += [(name, generated.per_class[i], real and real.per_class[i]) for i, name in enumerate(classes)]
    lines = [f"{'right class':{width}}  generated" + ("" if real is None else "    real")]
    for name, of_generated, of_real in rows:
        lines.append(f"{name:{width}}  {of_generated:9.1%}" + ("" if of_real is None else f"  {of_real:6.1%}"))
    return "\n".join(lines)
