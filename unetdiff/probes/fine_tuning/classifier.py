"""A classifier of images: a diffusion U-Net up to one of its feature maps, and a head on that.

    logits = head(tap(x, sigma))

x is x0 + sigma eps or the clean x0, of which the network is told that it has this noise. No node behind the tap is run,
and the network is told nothing else (the null class). Mukhopadhyay et al. 2023 (arXiv:2307.08702), section 4.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.features.capture import capture
from unetdiff.features.told import Nothing
from unetdiff.plain import require
from unetdiff.probes.networks import MLP, Grid, Head

__all__ = ["ClassifierConfig", "UNetClassifier"]


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """What a classifier is beside its weights.

    Attributes:
        classes: Their names, in the order of the labels.
        tap: The feature map that the head reads, among `unet.taps`.
        sigma: The noise level that the network is told.
        noisy: Whether images are given that noise.
        head: What reads the feature map.
    """

    classes: tuple[str, ...]
    tap: str
    sigma: float
    noisy: bool = True
    head: Head = field(default_factory=MLP)

    def __post_init__(self) -> None:
        require(len(self.classes) >= 2, "classes", "at least 2 to tell apart", self.classes)
        require(0 < self.sigma < math.inf, "sigma", "a positive number", self.sigma)


class UNetClassifier(nn.Module):
    """Images (N, *shape) in the network's range of values, with noise already on them -> logits (N, classes)."""

    def __init__(self, denoiser: Denoiser, shape: tuple[int, int, int], config: ClassifierConfig) -> None:
        """Put a new head on a network.

        Raises:
            InputError: the network attends to texts or is told pictures, or the tap is no feature map of it.
        """
        super().__init__()
        unet = denoiser.unet
        if unet.config.cross_attention_dim is not None:
            raise InputError("model: expected one of images and classes, got one that attends to texts")
        if config.tap not in unet.taps or unet.taps[config.tap].form != "image":
            raise InputError(f"tap: expected a feature map (N, C, h, w) of this network, got {config.tap}")
        self.config = config
        self.denoiser = denoiser
        self._nothing = Nothing(unet=unet)
        with torch.no_grad():
            _, channels, height, width = self.feature_map(torch.zeros(1, *shape, device=unet.device)).shape
        self.head = config.head.build(Grid(shapes=((channels, height, width),)), len(config.classes)).to(unet.device)

    def feature_map(self, x: Tensor) -> Tensor:
        """(N, C, h, w), with gradients."""
        with capture(self.denoiser.unet, [self.config.tap], stop=True) as features:
            self.denoiser(x, self.config.sigma, **self._nothing(np.arange(len(x))))
        return features[self.config.tap]

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (N, classes)."""
        logits: Tensor = self.head([[self.feature_map(x)]])
        return logits
