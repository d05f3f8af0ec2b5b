"""Three diagnostics of Ma et al. 2024 on real images, without and with skip-tuning.

The size of each skip beside the main path that it joins (section 2), the denoising loss in pixels and in features by
noise level (section 5.1), and how far inverted images are from Gaussian noise (section 5.4). Each is measured batch by
batch; its error is that of the mean over batches, and of a difference that of the differences' mean.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import samplers
from unetdiff.data import PackedDataset
from unetdiff.denoiser import Condition, Denoiser
from unetdiff.errors import InputError
from unetdiff.evaluation.generated import FeatureMaker
from unetdiff.skip_diagnostics import denoising_losses, mmd_squared, skip_ratios
from unetdiff.skips.tuned import ConditionalDenoise

__all__ = ["Change", "Mean", "SkipReport", "report_skips"]

BATCH = 32
LEAST_BATCHES = 8
INVERSION_STEPS = 18


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Over batches."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, batches: Tensor) -> "Mean":
        """Of one number for each batch, (B,)."""
        numbers = batches.double()
        return cls(value=float(numbers.mean()), standard_error=float(numbers.std()) / math.sqrt(len(numbers)))


@dataclass(frozen=True, kw_only=True)
class Change:
    """What skip-tuning makes of a number."""

    plain: float
    tuned: float
    difference: Mean

    @classmethod
    def of(cls, batches: Tensor) -> "Change":
        """Of the numbers without and with it for each batch, (B, 2)."""
        plain, tuned = batches.double().unbind(dim=1)
        return cls(plain=float(plain.mean()), tuned=float(tuned.mean()), difference=Mean.of(tuned - plain))

    @property
    def resolved(self) -> bool:
        """Whether the difference is more than two standard errors."""
        return abs(self.difference.value) > 2 * self.difference.standard_error


@dataclass(frozen=True, kw_only=True)
class SkipReport:
    """What was measured.

    Attributes:
        ratios: ||d||_2 / ||u||_2 by skip, innermost first; mean over noise levels.
        losses: by space ("pixels", "features") and noise level.
        mmd: MMD^2 of inverted images to Gaussian noise.
    """

    ratios: Mapping[str, Mean]
    losses: Mapping[str, Mapping[float, Change]]
    mmd: Change


def report_skips(
    maker: FeatureMaker, data: PackedDataset, count: int, sigmas: Sequence[float], tuned: ConditionalDenoise
) -> SkipReport:
    """Measure on `count` of the images, at least 4, taken at random; an error needs several batches of two or more.

    Raises:
        InputError: fewer images than that, or other classes than the model's.
    """
    _check_fit(maker, data, count)
    order = np.random.default_rng(0).permutation(len(data))[:count]
    parts = np.array_split(order, max(min(LEAST_BATCHES, count // 2), count // BATCH))
    batches = [_Batch.of(maker, data, part, seed) for seed, part in enumerate(parts)]
    ratios = torch.stack([batch.ratios(maker.denoiser, sigmas) for batch in batches])
    pairs = [(batch, [partial(denoise, **batch.condition) for denoise in (maker.denoiser, tuned)]) for batch in batches]
    mmd = torch.tensor(
        [[_mmd(maker, batch, denoise) for denoise in pair] for batch, pair in pairs], dtype=torch.float64
    )
    spaces: dict[str, Callable[[Tensor], Tensor]] = {"pixels": torch.clone, "features": partial(_features, maker)}
    losses = [
        [denoising_losses(denoise, batch.images, batch.noise, sigmas, spaces) for denoise in pair]
        for batch, pair in pairs
    ]
    return SkipReport(
        ratios={skip: Mean.of(of_skip) for skip, of_skip in zip(maker.denoiser.unet.skips, ratios.T, strict=True)},
        losses={space: _changes(losses, space, sigmas) for space in spaces},
        mmd=Change.of(mmd),
    )


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Real images in the model's range, two draws of noise in their shape, and their classes if the model has any."""

    images: Tensor
    noise: Tensor
    gaussian: Tensor
    condition: Condition

    @classmethod
    def of(cls, maker: FeatureMaker, data: PackedDataset, part: NDArray[np.int64], seed: int) -> "_Batch":
        images = maker.real_images(data, part)
        draws = torch.randn(2, *images.shape, generator=torch.Generator().manual_seed(seed)).to(images)
        condition = Condition()
        if maker.denoiser.unet.config.num_classes is not None:
            assert data.labels is not None
            condition["class_labels"] = torch.from_numpy(data.labels[part]).to(images.device)
        return cls(images=images, noise=draws[0], gaussian=draws[1], condition=condition)

    def ratios(self, denoiser: Denoiser, sigmas: Sequence[float]) -> Tensor:
        """(skips,): mean over the images and the noise levels."""
        return skip_ratios(denoiser, self.images, self.noise, sigmas, **self.condition).mean(dim=0)


def _changes(
    losses: Sequence[Sequence[Mapping[str, Tensor]]], space: str, sigmas: Sequence[float]
) -> dict[float, Change]:
    """By noise level, of the losses of each batch and denoiser."""
    table = torch.stack([torch.stack([of_denoiser[space] for of_denoiser in pair]) for pair in losses])  # (B, 2, S)
    return {sigma: Change.of(column) for sigma, column in zip(sigmas, table.unbind(dim=2), strict=True)}


def _features(maker: FeatureMaker, images: Tensor) -> Tensor:
    """Of images in the model's range, which are not rounded here: a denoised image is no picture yet."""
    low, high = maker.info.data.value_range
    return maker.classifier.features((images - low) * (2 / (high - low)) - 1)


def _mmd(maker: FeatureMaker, batch: _Batch, denoise: samplers.Denoise) -> float:
    """Of the images inverted and brought to standard deviation 1, in pixels."""
    sigmas = samplers.karras(INVERSION_STEPS, *maker.info.preconditioning.sigma_range).flip(0)
    inverted = samplers.sample(denoise, batch.images, sigmas, samplers.DDIMInversion()) / float(sigmas[-1])
    return float(mmd_squared(inverted, batch.gaussian, [math.sqrt(batch.images[0].numel())]))


def _check_fit(maker: FeatureMaker, data: PackedDataset, count: int) -> None:
    if len(data) < count:
        raise InputError(f"n: expected at most the {len(data)} images of the test split, got {count}")
    if maker.denoiser.unet.config.num_classes is not None and data.classes != maker.info.data.classes:
        known, got = (", ".join(classes) or "none" for classes in (maker.info.data.classes, data.classes))
        raise InputError(f"data: expected the model's classes {known}, got {got}")
