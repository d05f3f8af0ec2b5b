"""A grid of samples from a run's averaged weights, drawn with the same seeds every time."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import samplers
from unetdiff.data import PackedDataset
from unetdiff.denoiser import Denoiser
from unetdiff.latent_images import load_described_codec
from unetdiff.latents import Codec
from unetdiff.model_folder import ModelInfo
from unetdiff.pictures import Pixels, grid, save_png, to_uint8
from unetdiff.training.config import PreviewConfig, TrainConfig
from unetdiff.training.preview import Shown
from unetdiff.training.preview_rows import PreviewRows, preview_rows
from unetdiff.training.run_folder import RunFolder
from unetdiff.training.summary import model_info
from unetdiff.training.training_neighbours import TrainingNeighbours

__all__ = ["PreviewGrid"]


@dataclass(frozen=True, kw_only=True)
class PreviewGrid:
    """Heun's method on a Karras grid; the picture of step N is `step-N.png` in `folder`.

    A row of a network that is told a picture begins with that picture and the image that it was made of.
    With `neighbours` a second picture shows each sample beside the training image that is nearest to it.
    """

    config: PreviewConfig
    info: ModelInfo
    rows: PreviewRows
    folder: Path
    neighbours: TrainingNeighbours | None

    @classmethod
    def of(cls, config: TrainConfig, data: PackedDataset, held_out: PackedDataset | None) -> "PreviewGrid":
        """The grid of a run on `data`; `held_out` are images that it never sees, if any."""
        folder = RunFolder(config.out).samples
        compared = config.preview.neighbours and config.latents is None  # distances of latents say little
        return cls(
            config=config.preview,
            info=model_info(config, data, step=0),
            rows=preview_rows(config, data, held_out),
            folder=folder,
            neighbours=TrainingNeighbours(data, held_out, folder) if compared else None,
        )

    def __call__(self, denoiser: Denoiser, step: int, batch_size: int) -> Shown:
        """Draw what the network can do after so many steps; what is not finite is left black, and told."""
        config, device = self.config, denoiser.unet.device
        codec = None if self.info.codec is None else load_described_codec(self.info.codec, device=device)
        images = config.rows * config.columns
        noise = samplers.PerImageNoise(range(config.seed, config.seed + images), self.info.data.shape, device=device)()
        parts = torch.split(torch.arange(images), batch_size)
        result = torch.cat([self._samples(denoiser, noise, part) for part in parts])
        broken = _broken(result, step)
        result[broken] = -1.0
        pictures = to_uint8(result if codec is None else _decoded(codec, result, config.columns))
        pictures[broken.cpu().numpy()] = 0
        facts = {"step": str(step), "seeds": f"{config.seed}-{config.seed + images - 1}", "steps": str(config.steps)}
        path = self.folder / f"step-{step:07d}.png"
        shown = pictures if self.rows.given is None else _beside(self.rows.given, pictures)
        save_png(path, grid(shown, len(shown) // config.rows, self.rows.names, scale=2), facts)
        if self.neighbours is None:
            return Shown(pictures={"samples": path})
        beside, record = self.neighbours.show(result, step, config.columns)
        return Shown(pictures={"samples": path, "neighbours": beside}, record=record)

    def _samples(self, denoiser: Denoiser, noise: Tensor, part: Tensor) -> Tensor:
        """Those of these numbers."""
        sigmas = samplers.karras(self.config.steps, *self.info.preconditioning.sigma_range)
        condition = {name: values[part].to(noise.device) for name, values in self.rows.condition.items()}
        denoise: samplers.Denoise = partial(denoiser, **condition)
        return samplers.sample(denoise, noise[part] * sigmas[0].item(), sigmas, samplers.Heun())


def _broken(images: Tensor, step: int) -> Tensor:
    """Which are not finite, (N,), and told: training itself finds where numbers break, and acts as it was asked to."""
    broken = ~images.isfinite().flatten(1).all(dim=1)
    if broken.any():
        told = f"preview of step {step}: {int(broken.sum())} of {len(images)} samples are not finite and are left black"
        tqdm.write(told, file=sys.stderr)
    return broken


def _decoded(codec: Codec, latents: Tensor, columns: int) -> Tensor:
    """Pictures of latents, a row of the grid at a time: a decoder works at the size of pictures, and takes memory."""
    return torch.cat([codec.decode(row) for row in torch.split(latents, columns)])


def _beside(given: Tensor, pictures: Pixels) -> Pixels:
    """Rows of pictures (rows * columns, H, W, C), each after what was given for it."""
    rows, ahead = given.shape[:2]
    before = to_uint8(given.flatten(0, 1)).reshape(rows, ahead, *pictures.shape[1:])
    after = pictures.reshape(rows, -1, *pictures.shape[1:])
    return np.concatenate([before, after], axis=1).reshape(-1, *pictures.shape[1:])
