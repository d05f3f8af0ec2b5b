"""What a denoiser knows of images: feature maps by place in the network and noise level."""

from unetdiff.features.capture import capture
from unetdiff.features.cell import Cell
from unetdiff.features.extraction import Extractor
from unetdiff.features.settings import FeatureSettings
from unetdiff.features.store import FeatureStore

__all__ = ["Cell", "Extractor", "FeatureSettings", "FeatureStore", "capture"]
