"""Inception-v3 of torch-fidelity, whose features the Frechet Inception Distance is measured in (Heusel et al. 2017).

Its 2048 pooled features, with the weights, the resizing and the rounding of the original TensorFlow graph. The package
fetches the weights when it is used first.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from unetdiff.errors import InputError
from unetdiff.evaluation.generated import content_key, module_hash
from unetdiff.plain import require

__all__ = ["Inception"]

NAME = "inception"
PACKAGE = "torch-fidelity"


@dataclass(frozen=True, kw_only=True)
class Inception:
    """Images in [-1, 1] of any size, rounded to 8 bits -> (N, 2048)."""

    network: nn.Module

    @classmethod
    def load(cls, device: torch.device | str = "cpu") -> "Inception":
        """From the installed package.

        Raises:
            InputError: it is not installed, or has no weights and cannot fetch them.
        """
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision of another torch
            expected = f"another network, or {NAME} with its package (pip install {PACKAGE})"
            raise InputError(f"features: expected {expected}, got {NAME}: {error}") from error
        try:
            return cls(network=FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).to(device))
        except OSError as error:
            raise InputError(f"features: expected weights of {NAME} that {PACKAGE} can fetch, got {error}") from error

    @cached_property
    def key(self) -> str:
        """See `ImageFeatures`."""
        return content_key([NAME, module_hash(self.network)])

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, 1 or 3, H, W) -> (N, 2048), on the network's device."""
        require(images.shape[1] in (1, 3), "images", "1 or 3 channels", images.shape[1])
        levels = ((images + 1) * 127.5).round().clamp(0, 255).byte().expand(-1, 3, -1, -1)
        (features,) = self.network(levels.to(next(self.network.parameters()).device))
        pooled: Tensor = features
        return pooled
