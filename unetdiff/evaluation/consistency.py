"""Class consistency: the share of images that a classifier gives the class that they should have.

For generated images it says whether conditioning works. For real ones it is the classifier's accuracy: the level that
images as good as real ones would reach.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor

from unetdiff.data import PackedDataset
from unetdiff.errors import InputError
from unetdiff.evaluation.classifier import Classifier

__all__ = ["ClassConsistency", "class_consistency", "dataset_consistency"]

BATCH = 500


@dataclass(frozen=True, kw_only=True)
class ClassConsistency:
    """Of `counts[c]` images that should show class c, `hits[c]` do; parts of a set of images add up."""

    hits: Tensor
    counts: Tensor

    @property
    def share(self) -> float:
        """Over all images."""
        return int(self.hits.sum()) / int(self.counts.sum())

    @property
    def per_class(self) -> tuple[float, ...]:
        """Class by class; NaN for a class without images."""
        return tuple((self.hits / self.counts).tolist())

    def __add__(self, other: "ClassConsistency") -> "ClassConsistency":
        return ClassConsistency(hits=self.hits + other.hits, counts=self.counts + other.counts)


@torch.no_grad()
def class_consistency(images: Tensor, labels: Tensor, classifier: Classifier) -> ClassConsistency:
    """Compare labels (N,) with the classes of images (N,C,H,W) in [-1, 1]."""
    classes = len(classifier.config.classes)
    predicted = classifier(images).argmax(dim=1)
    return ClassConsistency(
        hits=torch.bincount(labels[predicted == labels], minlength=classes),
        counts=torch.bincount(labels, minlength=classes),
    )


def dataset_consistency(data: PackedDataset, classifier: Classifier) -> ClassConsistency:
    """The classifier's accuracy on real images."""
    if data.labels is None or data.classes != classifier.config.classes:
        known = ", ".join(classifier.config.classes)
        raise InputError(
            f"{data.folder}: expected images of the classes {known}, got {', '.join(data.classes) or 'none'}"
        )
    return reduce(add, _parts(data, torch.from_numpy(data.labels), classifier))


def _parts(data: PackedDataset, labels: Tensor, classifier: Classifier) -> Iterable[ClassConsistency]:
    for start in range(0, len(data), BATCH):
        part = slice(start, start + BATCH)
        images = torch.from_numpy(data.images[part] / (data.white / 2) - 1).float()
        yield class_consistency(images, labels[part], classifier)
