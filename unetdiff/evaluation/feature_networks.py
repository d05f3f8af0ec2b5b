"""The networks that make features of images, by name."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from unetdiff.evaluation import efficientnet, inception
from unetdiff.evaluation.classifier_features import ClassifierFeatures
from unetdiff.evaluation.dinov2 import DinoV2
from unetdiff.evaluation.efficientnet import EfficientNetLite0, NarrowEfficientNetLite0
from unetdiff.evaluation.image_features import ImageFeatures
from unetdiff.evaluation.inception import Inception
from unetdiff.evaluation.vision_model import VisionModel

__all__ = ["CLASSIFIER", "DINOV2", "load_features"]

CLASSIFIER = "classifier"
DINOV2 = "dinov2:"
NAMED: Mapping[str, Callable[[torch.device | str], ImageFeatures]] = {
    efficientnet.NAME: EfficientNetLite0.load,
    efficientnet.NARROW: NarrowEfficientNetLite0.load,
    inception.NAME: Inception.load,
}


def load_features(name: str, device: torch.device | str = "cpu", classifier: str | Path | None = None) -> ImageFeatures:
    """A network by its name.

    `efficientnet-lite0` (1280 numbers), `efficientnet-lite0-320`, `inception`; `classifier` with its folder; `dinov2:`
    and a DINOv2 of transformers for its class token; else a vision model of transformers. Those of transformers are
    named by folder or hub repository.

    Raises:
        InputError: not there, or not one of these.
    """
    if name in NAMED:
        return NAMED[name](device)
    if name == CLASSIFIER:
        return ClassifierFeatures.load(None if classifier is None else Path(classifier), device)
    if name.startswith(DINOV2):
        return DinoV2.load(name.removeprefix(DINOV2), device)
    return VisionModel.load(name, device)
