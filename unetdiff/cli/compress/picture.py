"""Images of several networks side by side: a row for each, a column for each seed and condition."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

import samplers
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.denoiser import Denoiser
from unetdiff.pictures import grid, save_png, to_uint8
from unetdiff.prune.calibration import Calibration

__all__ = ["draw"]


def draw(
    path: Path, model: LoadedModel, networks: Mapping[str, Denoiser], calibration: Calibration, columns: int, steps: int
) -> None:
    """Image i has seed i and is told what the network is told of image i of the calibration set."""
    told = next(replace(calibration, batch_size=columns).batches)
    noise = samplers.PerImageNoise(range(len(told)), model.info.data.shape, device=model.device)()
    sigmas = samplers.karras(steps, *model.info.preconditioning.sigma_range)
    rows = []
    for denoiser in networks.values():
        denoise: samplers.Denoise = partial(denoiser, **told.condition)
        images = samplers.sample(denoise, sigmas[0].float() * noise, sigmas, samplers.Heun())
        rows.append(to_uint8(model.decoded(images), model.value_range))
    facts = {"rows": ", ".join(networks), "seeds": f"0-{len(told) - 1}", "sampler": "heun", "steps": str(steps)}
    save_png(path, grid(np.concatenate(rows), len(told), list(networks), scale=2), facts)
