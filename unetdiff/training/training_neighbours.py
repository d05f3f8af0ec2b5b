"""A preview's samples beside the training images nearest to them: a picture, and how many samples are copies."""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unetdiff.data import PackedDataset
from unetdiff.evaluation.memorisation import Closeness, closeness
from unetdiff.evaluation.neighbour_picture import neighbour_picture
from unetdiff.evaluation.neighbours import Images
from unetdiff.pictures import Pixels, save_png, to_uint8
from unetdiff.training.records import MemorisationRecord

__all__ = ["TrainingNeighbours"]

HELD_OUT = 256
"""How many real images the samples are compared with, which costs about three times as much as a preview's search."""


class TrainingNeighbours:
    """Of a run on `training`, whose pictures go to `folder`; `held_out` are real images that it never sees, if any."""

    def __init__(self, training: PackedDataset, held_out: PackedDataset | None, folder: Path) -> None:
        self.training, self.held_out, self.folder = training, held_out, folder
        self.white = training.white

    def show(self, samples: Tensor, step: int, columns: int) -> tuple[Path, MemorisationRecord]:
        """Draw the picture of samples (N, C, H, W) in [-1, 1] and measure them."""
        pixels = (samples.clamp(-1, 1) + 1) * (self.white / 2)
        found = closeness(pixels.cpu().numpy(), self.training, samples.device)
        picture = neighbour_picture(to_uint8(samples), self._shown(self.training.images[found.indices]), found, columns)
        path = self.folder / f"step-{step:07d}-neighbours.png"
        save_png(path, picture, {"step": str(step), "neighbours": " ".join(map(str, found.indices.tolist()))})
        return path, self._record(found, step)

    @cached_property
    def _of_held_out(self) -> Closeness | None:
        """Searched at the first preview, on the CPU or the GPU alike."""
        if self.held_out is None:
            return None
        order = np.random.default_rng(0).permutation(len(self.held_out))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return closeness(self.held_out.images[np.sort(order[:HELD_OUT])], self.training, device)

    def _record(self, found: Closeness, step: int) -> MemorisationRecord:
        real = self._of_held_out
        return MemorisationRecord(
            step=step,
            samples=len(found.indices),
            memorised=float(found.memorised.mean()),
            nearest_distance=float(np.median(found.distances)),
            nearest_ratio=float(np.median(found.ratios)),
            held_out_memorised=None if real is None else float(real.memorised.mean()),
            held_out_distance=None if real is None else float(np.median(real.distances)),
            held_out_ratio=None if real is None else float(np.median(real.ratios)),
        )

    def _shown(self, images: Images) -> Pixels:
        return to_uint8(torch.from_numpy(images.astype(np.float32)) / (self.white / 2) - 1)
