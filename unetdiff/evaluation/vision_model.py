"""Features of any vision model of transformers: its last layer, averaged over positions.

Of an encoder of images and texts, such as CLIP, it is the part for images. Poolers and heads, which many checkpoints
lack, are not asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from transformers import AutoModel
from typing_extensions import Self

from unetdiff.errors import InputError
from unetdiff.evaluation.generated import content_key, module_hash
from unetdiff.evaluation.image_features import as_rgb
from unetdiff.frozen import load_frozen
from unetdiff.weight_source import local_folder, read_json

__all__ = ["VisionModel"]

FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "preprocessor_config.json")
NOT_USED = r"(.*\.)?(pooler|head|classifier)\b"
SIDE = 224
"""For networks that read any size: what most were trained with."""


@dataclass(frozen=True, kw_only=True)
class VisionModel:
    """Images in [-1, 1] of any size, scaled to squares of `side` pixels and normalised as in training -> (N, F)."""

    network: nn.Module
    side: int
    mean: Sequence[float]
    std: Sequence[float]

    @classmethod
    def load(cls, source: str, device: torch.device | str = "cpu") -> Self:
        """From a folder or a repository of the hub; no code of it is run.

        Raises:
            InputError: a file that is missing or damaged, or a model that reads no images.
        """
        folder = local_folder(source, FILES, "a vision model")
        read_json(folder / "config.json")
        prepared = read_json(folder / "preprocessor_config.json")
        if not any(folder.glob("*.safetensors")):
            raise InputError(f"{folder}: weights in *.safetensors expected, got none")
        model = load_frozen(AutoModel, folder, not_used=NOT_USED)
        network, config = getattr(model, "vision_model", model), getattr(model.config, "vision_config", model.config)
        if network is model and model.main_input_name != "pixel_values":
            raise InputError(f"{folder}: a vision model expected, got {type(model).__name__}")
        if not {"image_mean", "image_std"} <= prepared.keys():
            raise InputError(f"{folder}: image_mean and image_std expected in preprocessor_config.json, got neither")
        side = getattr(config, "image_size", SIDE)
        return cls(network=network.to(device), side=side, mean=prepared["image_mean"], std=prepared["image_std"])

    @cached_property
    def key(self) -> str:
        """See `ImageFeatures`."""
        kind = type(self).__name__
        return content_key([kind, self.side, list(self.mean), list(self.std), module_hash(self.network)])

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, 1 or 3, H, W) -> (N, F), on the network's device."""
        device = next(self.network.parameters()).device
        mean, std = (torch.tensor(row, device=device)[:, None, None] for row in (self.mean, self.std))
        pixels = (as_rgb(images.to(device), self.side) + 1) / 2
        last: Tensor = self.network(pixel_values=(pixels - mean) / std).last_hidden_state
        return self.pooled(last)

    def pooled(self, last: Tensor) -> Tensor:
        """(N, positions, F) or (N, F, height, width) -> (N, F)."""
        return last.mean(dim=1) if last.ndim == 3 else last.mean(dim=(2, 3))
