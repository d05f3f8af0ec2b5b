"""The networks that make features of images, by name."""

import torch

from unetdiff.evaluation import efficientnet
from unetdiff.evaluation.efficientnet import EfficientNetLite0
from unetdiff.evaluation.image_features import ImageFeatures
from unetdiff.evaluation.vision_model import VisionModel

__all__ = ["load_features"]


def load_features(name: str, device: torch.device | str = "cpu") -> ImageFeatures:
    """`efficientnet-lite0`, or a vision model of transformers by its folder or hub repository.

    Raises:
        InputError: not there, or not one of these.
    """
    return EfficientNetLite0.load(device) if name == efficientnet.NAME else VisionModel.load(name, device)
