"""Images of given classes and seeds, batch by batch: a denoiser, a sampler on its grid, guidance, noise by seed."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

import samplers
from unetdiff.denoiser import Denoiser
from unetdiff.samples_folder import Sample
from unetdiff.unet import NULL_CLASS

__all__ = ["Method", "SamplerName", "generate", "sampler_named"]

SamplerName = Literal["heun", "euler", "ddim", "ddpm"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """Everything that decides how noise becomes an image, given the network."""

    sampler: samplers.Sampler[None]
    sigmas: Tensor
    churn: samplers.Churn | None = None
    guidance: float = 1.0
    skip_scale: float = 1.0

    @property
    def calls(self) -> int:
        """Network calls an image takes; guidance doubles them."""
        return self.sampler.network_calls(self.sigmas) * (1 if self.guidance == 1 else 2)


def generate(
    denoiser: Denoiser, shape: Sequence[int], samples: Sequence[Sample], method: Method, batch_size: int
) -> Iterator[tuple[Sample, Tensor]]:
    """Yield every sample with its image (C, H, W), in order, with a progress bar where a terminal shows it."""
    batches = [samples[start : start + batch_size] for start in range(0, len(samples), batch_size)]
    steps = len(method.sigmas) - 1
    with tqdm(total=len(batches) * steps, unit="step", disable=not sys.stderr.isatty()) as bar:
        for batch in batches:
            noise = samplers.PerImageNoise([sample.seed for sample in batch], shape, device=denoiser.unet.device)
            images = samplers.sample(
                _bound(denoiser, batch, method),
                method.sigmas[0].float() * noise(),
                method.sigmas,
                method.sampler,
                noise=noise,
                churn=method.churn,
                callback=lambda step: bar.update(),
            )
            yield from zip(batch, images, strict=True)


def sampler_named(name: SamplerName, eta: float = 0.0) -> samplers.Sampler[None]:
    """The sampler that a command's option names; `eta` is DDIM's."""
    named: dict[SamplerName, samplers.Sampler[None]] = {
        "heun": samplers.Heun(),
        "euler": samplers.Euler(),
        "ddim": samplers.DDIM(eta=eta),
        "ddpm": samplers.DDPM(),
    }
    return named[name]


def _bound(denoiser: Denoiser, batch: Sequence[Sample], method: Method) -> samplers.Denoise:
    """The denoiser with its conditions bound."""
    unconditional = partial(denoiser, skip_scale=method.skip_scale)
    labels = [sample.label for sample in batch if sample.label is not None]
    if not labels:
        return unconditional
    classes = torch.tensor(labels, device=denoiser.unet.device)
    return samplers.guided_in_one_call(
        unconditional,
        {"class_labels": classes},
        {"class_labels": torch.full_like(classes, NULL_CLASS)},
        samplers.Guidance(weight=method.guidance),
    )
