"""The caption of an image, found among many: a linear map from features of images to embeddings of captions.

Ridge regression predicts from the features of an image what a text encoder says of its caption; captions are ranked by
the cosine of their embeddings with that, both about the mean embedding. The map is fitted to real images with other
captions than those that are ranked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from unetdiff.data import PackedDataset
from unetdiff.errors import InputError
from unetdiff.evaluation.distances import Features
from unetdiff.evaluation.image_features import ImageFeatures, dataset_features
from unetdiff.evaluation.retrieval import Numbers, RetrievalScore, ranked
from unetdiff.evaluation.ridge import Ridge
from unetdiff.text import TokenEncoder

__all__ = ["CaptionFinder"]

PENALTY = 0.1
"""Of values from 0.01 to 1 it made little difference for held-out training captions of emoji, and 0.1 was best."""

BATCH = 64


@dataclass(frozen=True, kw_only=True)
class CaptionFinder:
    """M captions with their embeddings (M, D), what sees images, the map, and to how many images it was fitted."""

    captions: tuple[str, ...]
    embeddings: Features
    features: ImageFeatures
    ridge: Ridge
    fitted: int

    @classmethod
    def fit(
        cls, training: PackedDataset, captions: Sequence[str], encoder: TokenEncoder, features: ImageFeatures
    ) -> "CaptionFinder":
        """To the training images with other captions than `captions`.

        Raises:
            InputError: there are none.
        """
        assert training.captions is not None
        left_out = {"", *captions}
        rows = [row for row, caption in enumerate(training.captions) if caption not in left_out]
        if not rows:
            raise InputError("captions: expected some of the training images to have others, got none that have")
        texts = sorted({training.captions[row] for row in rows})
        place = {text: number for number, text in enumerate(texts)}
        of_rows = _embeddings(texts, encoder)[[place[training.captions[row]] for row in rows]]
        return cls(
            captions=tuple(captions),
            embeddings=_embeddings(captions, encoder),
            features=features,
            ridge=Ridge.fit(dataset_features(training, features)[rows], of_rows, PENALTY),
            fitted=len(rows),
        )

    def ranks(self, images: Tensor, own: Numbers) -> Numbers:
        """Of images (N, C, H, W) in [-1, 1] with the captions of the numbers `own` (N,)."""
        return self._ranked(self.features(images).float().cpu().numpy(), own)

    def score(self, data: PackedDataset) -> RetrievalScore:
        """Of the images in `data` that have one of the captions."""
        assert data.captions is not None
        place = {caption: number for number, caption in enumerate(self.captions)}
        rows = [row for row, caption in enumerate(data.captions) if caption in place]
        own = np.array([place[data.captions[row]] for row in rows])
        return RetrievalScore.of(self._ranked(dataset_features(data, self.features)[rows], own), own)

    def _ranked(self, features: Features, own: Numbers) -> Numbers:
        mean = self.ridge.mean_y
        return ranked(self.ridge(features) - mean, self.embeddings - mean, own)


def _embeddings(texts: Sequence[str], encoder: TokenEncoder) -> NDArray[np.float32]:
    starts = tqdm(range(0, len(texts), BATCH), desc="embedding captions", unit=" batches", disable=None)
    embedded = [encoder.embed(texts[start : start + BATCH]).cpu() for start in starts]
    rows: NDArray[np.float32] = torch.cat(embedded).numpy()
    return rows
