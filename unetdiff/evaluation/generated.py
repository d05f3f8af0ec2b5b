"""Features of generated images, and of the real ones to compare them with.

Image i has seed i and class i modulo the classes, whatever the sampler, the steps and rho: what differs between two
sets of images is the setting alone, and their distances can be compared image by image.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import samplers
from unetdiff.atomic import replacing
from unetdiff.data import DataConfig, PackedDataset, prepare
from unetdiff.data.config import Split
from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.evaluation.classifier import Classifier, load_classifier
from unetdiff.model_folder import ModelInfo, load_model
from unetdiff.pictures import to_uint8
from unetdiff.plain import to_plain
from unetdiff.skips.tuned import ConditionalDenoise

__all__ = ["BATCH", "FeatureMaker", "Rows", "content_key", "kept", "module_hash"]

Rows = NDArray[np.float32]
"""(N, F), a row for each image."""

BATCH = 100


@dataclass(frozen=True, kw_only=True)
class FeatureMaker:
    """A model and a classifier on the same device; the classifier's features are the space of distances."""

    denoiser: Denoiser
    info: ModelInfo
    classifier: Classifier

    def __post_init__(self) -> None:
        expected, got = self.classifier.config.in_channels, self.info.data.channels
        if got != expected:
            raise InputError(f"model: expected {expected} channels, as the classifier's, got {got}")
        if self.denoiser.unet.config.cross_attention_dim is not None:
            raise InputError("model: expected one without conditions or with classes, got one with cross-attention")
        if self.denoiser.unet.config.concat_channels:
            raise InputError("model: expected one without conditions or with classes, got one that is told a picture")

    @classmethod
    def load(cls, model: str | Path | None = None, classifier: Path | None = None) -> "FeatureMaker":
        """Of two folders, the shipped ones when left out; on the GPU if there is one."""
        denoiser, info = load_model(model, "cuda" if torch.cuda.is_available() else "cpu")
        judge, _ = load_classifier(classifier)
        return cls(denoiser=denoiser, info=info, classifier=judge.to(denoiser.unet.device))

    def generated(
        self, denoise: ConditionalDenoise, sampler: samplers.Sampler[Any], sigmas: Tensor, seeds: range
    ) -> Rows:
        """Of images that the model makes with `denoise`: its denoiser, plain or skip-tuned."""
        device, classes = self.denoiser.unet.device, self.denoiser.unet.config.num_classes
        noise = samplers.PerImageNoise(seeds, self.info.data.shape, device=device)
        if classes is not None:
            denoise = partial(denoise, class_labels=torch.tensor(seeds, device=device) % classes)
        images = samplers.sample(denoise, sigmas[0].float() * noise(), sigmas, sampler, noise=noise)
        return self.features(images)

    def real(self, split: Split, source: str, folder: Path, count: int | None = None) -> Rows:
        """Of all real images of a split, or of `count` of them, in random order; kept in `folder`.

        Raises:
            InputError: no such images, or not of the model's size.
        """
        data = self.real_data(split, source)
        order = np.random.default_rng(0).permutation(len(data))
        path = folder / f"real-{split}-{content_key([data.fingerprint, self.content()['classifier']])}.npy"
        return kept(
            path,
            len(data) if count is None else min(count, len(data)),
            lambda rows: self.features(self.real_images(data, order[rows.start : rows.stop])),
        )

    def real_data(self, split: Split, source: str) -> PackedDataset:
        """Real images of the model's size and channels."""
        wanted = self.info.data
        data = prepare(DataConfig(source=source, split=split, size=wanted.height, channels=wanted.channels))
        if data.images.shape[1:] != wanted.shape:
            raise InputError(f"data: expected images of the model's shape {wanted.shape}, got {data.images.shape[1:]}")
        return data

    def real_images(self, data: PackedDataset, indices: NDArray[np.int64]) -> Tensor:
        """(N, C, H, W) in the model's range of values."""
        low, high = self.info.data.value_range
        images = torch.from_numpy(data.images[indices]).to(self.denoiser.unet.device)
        return images.float() * ((high - low) / data.white) + low

    @torch.no_grad()
    def features(self, images: Tensor) -> Rows:
        """Of images in the model's range, rounded to 8 bits: what the classifier saw in training."""
        pixels = torch.from_numpy(to_uint8(images, self.info.data.value_range)).movedim(-1, 1)
        features: Rows = self.classifier.features(pixels.to(images.device) / 127.5 - 1).cpu().numpy()
        return features

    def content(self) -> dict[str, object]:
        """What the features depend on beside the settings of sampling."""
        return {
            "network": self.denoiser.unet.config.to_dict(),
            "weights": module_hash(self.denoiser.unet),
            "info": {name: value for name, value in self.info.to_dict().items() if name != "training"},
            "classifier": [to_plain(self.classifier.config), module_hash(self.classifier)],
        }


def content_key(content: object) -> str:
    """Sixteen hexadecimal digits that stand for plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def kept(path: Path, count: int, make: Callable[[range], Rows]) -> Rows:
    """The first `count` of the rows that `make` makes, kept in an .npy file.

    The file grows by `BATCH` rows at a time and is never made anew, so a run that was stopped goes on.
    """
    parts: list[Rows] = [np.load(path)] if path.exists() else []
    while (held := sum(map(len, parts))) < count:
        parts.append(make(range(held, min(held + BATCH, count))))
        with replacing(path) as staged, staged.open("wb") as file:
            np.save(file, np.concatenate(parts))
    return np.concatenate(parts)[:count]


def module_hash(module: torch.nn.Module) -> str:
    """SHA-256 of a network's weights, with their names."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
