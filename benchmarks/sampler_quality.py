"""Features of images by sampler, network calls and skip-tuning, for distances between sets of images.

python -m benchmarks.sampler_quality --folder features --samplers "[heun,unipc]" --calls "[5,9]" --rhos "[1]"

Image i has seed i and class i modulo the classes, whatever the sampler, so that curves over samplers, calls and rho
compare the same images; a run that was stopped goes on. rho scales the innermost skip, 1 the outermost, in equal steps
between (Ma et al. 2024, section 3).
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jsonargparse
import numpy as np
import torch
from jsonargparse.typing import PositiveInt

import samplers
from unetdiff import load_model
from unetdiff.atomic import replacing
from unetdiff.denoiser import Denoiser
from unetdiff.evaluation.classifier import Classifier, load_classifier
from unetdiff.model_info import ModelInfo
from unetdiff.pictures import to_uint8

__all__ = ["main"]

BATCH = 100


def steps(sampler: samplers.Sampler[object], calls: int) -> int:
    """Steps of a grid on which the sampler makes that many network calls; the step to 0 takes one."""
    whole, rest = divmod(calls - 1, sampler.nfe)
    if rest:
        raise ValueError(f"calls: expected 1 and a multiple of {sampler.nfe}, got {calls}")
    return whole + 1


@torch.no_grad()
def features(
    denoiser: Denoiser, info: ModelInfo, classifier: Classifier, name: str, calls: int, rho: float, first: int
) -> np.ndarray:
    """(BATCH, F): of images first, first + 1, ..."""
    sampler = samplers.SAMPLERS[name].make()
    skip_scale = torch.linspace(rho, 1.0, len(denoiser.unet.skips))
    seeds = range(first, first + BATCH)
    labels = torch.tensor([seed % len(info.data.classes) for seed in seeds])
    noise = samplers.PerImageNoise(seeds, info.data.shape)
    sigmas = samplers.karras(steps(sampler, calls), *info.preconditioning.sigma_range)
    denoise = partial(denoiser, class_labels=labels, skip_scale=None if rho == 1 else skip_scale)
    images = samplers.sample(denoise, sigmas[0].float() * noise(), sigmas, sampler, noise=noise)
    pixels = torch.from_numpy(to_uint8(images, info.data.value_range)).movedim(-1, 1) / 127.5 - 1
    return classifier.features(pixels).numpy()


def make(folder: Path, names: Sequence[str], calls: Sequence[int], rhos: Sequence[float], images: int) -> None:
    """Fill the folder, cheapest first."""
    denoiser, info = load_model(None)
    classifier, _ = load_classifier()
    folder.mkdir(parents=True, exist_ok=True)
    for count in sorted(calls):
        for rho in rhos:
            for name in names:
                path = folder / f"{name}_{count}_{rho:g}.npy"
                rows = np.load(path) if path.exists() else np.zeros((0, 0), np.float32)
                while len(rows) < images:
                    new = features(denoiser, info, classifier, name, count, rho, len(rows))
                    rows = np.concatenate([rows, new]) if len(rows) else new
                    with replacing(path) as staged, staged.open("wb") as file:
                        np.save(file, rows)
                print(path.name, len(rows), flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Make features."""
    parser = jsonargparse.ArgumentParser(description="Quality by sampler, network calls and skip-tuning.")
    parser.add_argument("--folder", type=Path, default=Path("features"))
    parser.add_argument("--samplers", type=list[str], default=["heun", "dpmpp-2m", "unipc"])
    parser.add_argument("--calls", type=list[PositiveInt], default=[5, 7, 9, 13, 19, 35])
    parser.add_argument("--rhos", type=list[float], default=[1.0])
    parser.add_argument("--images", type=PositiveInt, default=5000)
    options = parser.parse_args(argv)
    make(options.folder, options.samplers, options.calls, options.rhos, options.images)


if __name__ == "__main__":
    main()
