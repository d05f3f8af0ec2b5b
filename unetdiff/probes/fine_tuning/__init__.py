"""A U-Net and a head on one of its feature maps, trained together to tell classes."""

from unetdiff.probes.fine_tuning.classifier import ClassifierConfig, UNetClassifier
from unetdiff.probes.fine_tuning.folder import load_classifier, save_classifier
from unetdiff.probes.fine_tuning.training import FineTuning, LabelledImages, fine_tune

__all__ = [
    "ClassifierConfig",
    "FineTuning",
    "LabelledImages",
    "UNetClassifier",
    "fine_tune",
    "load_classifier",
    "save_classifier",
]
