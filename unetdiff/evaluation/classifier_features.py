"""The features of a classifier of this package, in whose space it tells its classes apart."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from unetdiff.evaluation.classifier import Classifier, load_classifier
from unetdiff.evaluation.generated import content_key, module_hash
from unetdiff.plain import require, to_plain

__all__ = ["ClassifierFeatures"]


@dataclass(frozen=True, kw_only=True)
class ClassifierFeatures:
    """Images in [-1, 1] of any size and the classifier's channels -> (N, F), its last level averaged over pixels."""

    classifier: Classifier

    @classmethod
    def load(cls, folder: Path | None = None, device: torch.device | str = "cpu") -> "ClassifierFeatures":
        """Of a folder; the shipped classifier of Fashion-MNIST without one."""
        classifier, _ = load_classifier(folder)
        return cls(classifier=classifier.to(device))

    @cached_property
    def key(self) -> str:
        """See `ImageFeatures`."""
        return content_key([to_plain(self.classifier.config), module_hash(self.classifier)])

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, F), on the classifier's device."""
        channels = self.classifier.config.in_channels
        require(images.shape[1] == channels, "images", f"{channels} channels for the classifier", images.shape[1])
        return self.classifier.features(images.to(self.classifier.head.weight.device))
