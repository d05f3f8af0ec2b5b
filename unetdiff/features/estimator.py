"""Features as a step of a scikit-learn pipeline: images in, one row of numbers for each out.

    make_pipeline(DiffusionFeatures(nodes="mid_block", sigma=0.2), StandardScaler(), LogisticRegression())

The noise of an image is keyed on (seed, its pixels): its features do not depend on which other images come with it, so
they are the same in every fold of a cross-validation.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ImportError("DiffusionFeatures needs scikit-learn: pip install 'unetdiff[eval]'") from error

from unetdiff.errors import InputError
from unetdiff.features.cell import Cell
from unetdiff.features.extraction import Extractor
from unetdiff.features.noise_level import noise_level
from unetdiff.features.places import taps_called
from unetdiff.features.pooling import Pool
from unetdiff.features.settings import FeatureSettings
from unetdiff.features.store import Values
from unetdiff.features.told import Nothing
from unetdiff.model_folder import load_model

__all__ = ["DiffusionFeatures"]

Images = NDArray[np.uint8 | np.floating]


class DiffusionFeatures(TransformerMixin, BaseEstimator):
    """Images to (N, D) float32: the features of all nodes and noise levels side by side, node by node.

    Images are (N, H, W) grey, (N, H, W, C) or (N, C, H, W), of the model's size and channels, either uint8 or floats
    from 0 (black) to 1 (white).

    Args:
        model: model folder or run folder of a network on pixels; the shipped model without it.
        nodes: names of nodes or taps, or patterns, separated by commas or in a list.
        sigma: a noise level, as a number, `logsnr:1.5` or `t:150`, or a list of them.
        pool: "mean", "none", or p for p x p means.
        ensemble: noises for each image, whose features are averaged.
        noisy: whether noise is added to the image; else the network is told the noise level alone.
        seed: of the noise.
        batch_size: images at a time.
        device: auto is the GPU if there is one.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        nodes: str | Sequence[str] = "mid_block",
        sigma: float | str | Sequence[float | str] = 0.2,
        pool: Pool = "mean",
        ensemble: int = 1,
        noisy: bool = True,
        seed: int = 0,
        batch_size: int = 64,
        device: Literal["auto", "cpu", "cuda"] = "auto",
    ) -> None:
        self.model = model
        self.nodes = nodes
        self.sigma = sigma
        self.pool = pool
        self.ensemble = ensemble
        self.noisy = noisy
        self.seed = seed
        self.batch_size = batch_size
        self.device = device

    def fit(self, X: Images, y: object = None) -> "DiffusionFeatures":  # noqa: N803  # scikit-learn's name
        """Load the network; nothing is learned.

        Raises:
            InputError: images, or a setting, that do not suit the model.
        """
        found = "cuda" if torch.cuda.is_available() else "cpu"
        denoiser, info = load_model(self.model, found if self.device == "auto" else self.device)
        if info.codec is not None:
            raise InputError("model: expected one of pixels, got one of latents; `unetdiff features` takes those")
        nodes = self.nodes.split(",") if isinstance(self.nodes, str) else self.nodes
        levels = [self.sigma] if isinstance(self.sigma, str | float | int) else self.sigma
        settings = FeatureSettings(
            taps=taps_called(nodes, denoiser.unet),
            sigmas=tuple(noise_level(str(level), info.preconditioning) for level in levels),
            pool=self.pool,
            ensemble=self.ensemble,
            noisy=self.noisy,
            seed=self.seed,
        )
        self.nothing_ = Nothing(unet=denoiser.unet)
        self.value_range_ = info.data.value_range
        self.extractor_ = Extractor(denoiser=denoiser, shape=info.data.shape, settings=settings)
        _channels_first(X, info.data.shape)
        return self

    def transform(self, X: Images) -> NDArray[np.float32]:  # noqa: N803  # scikit-learn's name
        """(N, D)."""
        check_is_fitted(self)
        images = _channels_first(X, self.extractor_.shape)
        batches = [images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size)]
        return np.concatenate([self._rows(batch) for batch in batches])

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """A name for each of the D numbers: node, noise level, and number in it."""
        check_is_fitted(self)
        features = self._features(np.zeros((1, *self.extractor_.shape), np.uint8))
        names = [f"{cell.tap} {cell.sigma:g} {number}" for cell, row in features.items() for number in range(row.size)]
        return np.array(names, dtype=object)

    def _rows(self, images: Images) -> NDArray[np.float32]:
        features = self._features(images).values()
        return np.concatenate([rows.reshape(len(images), -1) for rows in features], axis=1)

    def _features(self, images: Images) -> dict[Cell, Values]:
        low, high = self.value_range_
        white = 255 if images.dtype == np.uint8 else 1
        pixels = torch.from_numpy(images.astype(np.float32)) * ((high - low) / white) + low
        rows = np.array([_number(image) for image in images])
        return self.extractor_(pixels.to(self.nothing_.unet.device), rows, self.nothing_(rows))


def _channels_first(images: Images, shape: tuple[int, int, int]) -> Images:
    """(N, *shape), which is (C, H, W); refuse anything that is not that."""
    images = np.asarray(images)
    channels, height, width = shape
    if images.shape[1:] == (height, width) and channels == 1:
        images = images[:, None]
    elif images.shape[1:] == (height, width, channels) != shape:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    if images.shape[1:] != shape or len(images) == 0:
        raise InputError(f"images: expected (N, {height}, {width}) with {channels} channels, got shape {images.shape}")
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise InputError(f"images: expected uint8, or floats from 0 to 1, got {images.dtype}")
    if images.dtype != np.uint8 and not (images.min() >= 0 and images.max() <= 1):
        raise InputError(f"images: expected floats from 0 to 1, got {images.min()} to {images.max()}")
    return images


def _number(image: Images) -> int:
    """Of 63 bits, that stands for an image."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
