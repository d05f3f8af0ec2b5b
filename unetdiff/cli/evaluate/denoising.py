"""The denoising loss of images that the model never saw, by noise level; the floor is that of training images.

The loss is the squared error of what the network predicts, |x0 - D|^2 / c_out^2: about 1 where nothing can be told.
Held-out images far above the floor say that the model knows its training images by heart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import samplers
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.errors import InputError
from unetdiff.evaluation.bootstrap import Resampling
from unetdiff.evaluation.image_set import DataImages
from unetdiff.evaluation.judges.judge import Candidates, Finding, Measure
from unetdiff.features.network_images import NetworkImages
from unetdiff.losses import LogNormalObjective
from unetdiff.losses.noise_grid import NoiseGrid
from unetdiff.sample_identity import Subject

__all__ = ["DenoisingJudge"]


@dataclass(frozen=True, kw_only=True)
class DenoisingJudge:
    """Of a model, whatever the images that are judged. `count` images of each part, `batch_size` cells at a time."""

    model: LoadedModel
    held_out: DataImages
    floor: DataImages
    sigmas: Sequence[float]
    count: int
    batch_size: int
    resampling: Resampling

    def __post_init__(self) -> None:
        _ = [self._subjects(part, np.arange(1)) for part in (self.held_out, self.floor)]

    def __call__(self, candidates: Candidates) -> Finding:
        """See `Judge`."""
        return self._finding

    @cached_property
    def _finding(self) -> Finding:
        held_out, floor = (self._losses(part) for part in (self.held_out, self.floor))
        return Finding(
            measures=[
                Measure(
                    name=f"denoising loss at sigma {sigma:g}",
                    value=float(losses.mean()),
                    interval=self.resampling.of_mean(losses),
                    floor=float(of_floor.mean()),
                    about="model",
                )
                for sigma, losses, of_floor in zip(self.sigmas, held_out, floor, strict=True)
            ]
        )

    @torch.no_grad()
    def _losses(self, part: DataImages) -> NDArray[np.float64]:
        """(sigmas, images)."""
        grid, objective = self._grid(part), LogNormalObjective(prediction=self.model.info.preconditioning)
        cells = torch.arange(len(grid), device=self.model.device)
        parts = [cells[start : start + self.batch_size] for start in range(0, len(cells), self.batch_size)]
        losses = torch.cat([grid.losses(self.model.denoiser, objective, part) for part in parts])
        table: NDArray[np.float64] = losses.double().cpu().reshape(len(self.sigmas), -1).numpy()
        return table

    def _grid(self, part: DataImages) -> NoiseGrid:
        numbers = np.arange(min(self.count, len(part)))
        model = self.model
        images = NetworkImages(data=part.data, info=model.info.data, codec=model.codec, device=model.device)
        clean = images(part.rows[numbers])
        return NoiseGrid(
            images=clean,
            noise=samplers.PerImageNoise(numbers.tolist(), tuple(clean.shape[1:]), device=model.device)(),
            condition=cast(dict[str, Tensor], model.condition(self._subjects(part, numbers))),
            sigmas=torch.tensor(self.sigmas, device=model.device),
        )

    def _subjects(self, part: DataImages, numbers: NDArray[np.int64]) -> list[Subject]:
        """What the images show.

        Raises:
            InputError: the data do not say what the model is told.
        """
        data, rows, model = part.data, part.rows[numbers], self.model
        if not model.conditional:
            return []
        if model.text is not None and data.captions is not None:
            return [Subject(kind="prompt", number=number, name=data.captions[row]) for number, row in enumerate(rows)]
        if model.text is None and data.labels is not None and data.classes == model.classes:
            return [Subject(kind="class", number=int(data.labels[row]), name="") for row in rows]
        raise InputError("the data do not say what the model is told of an image")
