"""The share of images that are copies of training images; the floor is that of images which the model never saw."""

from dataclasses import dataclass

import numpy as np
import torch

from unetdiff.data import PackedDataset
from unetdiff.evaluation.bootstrap import Resampling
from unetdiff.evaluation.image_set import ImageSet
from unetdiff.evaluation.judges.judge import Candidates, Finding, Measure
from unetdiff.evaluation.memorisation import closeness

__all__ = ["CopyJudge"]

NAME = "copies of training images"


@dataclass(frozen=True, kw_only=True)
class CopyJudge:
    """By their nearest neighbours among all of `training`, in pixels, so of the same shape.

    `held_out` is None where all images may have been trained on.
    """

    training: PackedDataset
    held_out: ImageSet | None
    resampling: Resampling
    device: torch.device

    def __call__(self, candidates: Candidates) -> Finding:
        """See `Judge`."""
        copied = self._copied(candidates.images, len(candidates.images))
        held_out = self.held_out
        floor = None if held_out is None else self._copied(held_out, min(len(copied), len(held_out)))
        measure = Measure(
            name=NAME,
            value=float(copied.mean()),
            interval=self.resampling.of_mean(copied),
            floor=None if floor is None else float(floor.mean()),
            form="share",
        )
        return Finding(measures=[measure])

    def _copied(self, images: ImageSet, count: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        scale = self.training.white / 255
        parts = [
            closeness(images.levels(part) * scale, self.training, self.device).memorised
            for part in images.batches(count)
        ]
        return np.concatenate(parts)
