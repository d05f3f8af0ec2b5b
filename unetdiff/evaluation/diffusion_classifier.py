"""A class-conditional denoiser as a classifier: the class under which it denoises an image best.

    c* = argmin_c E_{sigma, eps} lambda(sigma) |D(x + sigma eps; sigma, c) - x|^2

Li et al. 2023, equation 6 (https://arxiv.org/abs/2303.16203). Every class sees the same noise, as in their section 3.2:
what differs between two losses is the class alone. Classes are eliminated in rounds (their algorithm 2).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

import samplers
from unetdiff.plain import require
from unetdiff.skips.tuned import ConditionalDenoise

__all__ = ["ClassLosses", "DiffusionClassifier", "Likelihood", "NoiseLevels", "Rounds"]

GOLDEN = (math.sqrt(5) - 1) / 2


class NoiseLevels(Protocol):
    """Where the loss is measured and what it weighs there; objectives of training are such, too."""

    def sigma(self, u: Tensor) -> Tensor:
        """The noise level of quantile u."""

    def weight(self, sigma: Tensor) -> Tensor:
        """lambda(sigma), the factor on the squared error of the clean image."""


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """The squared error of the noise, lambda = 1 / sigma^2, with log sigma uniform from `least` to `greatest`.

    For an exact denoiser, over all noise levels, this is -log p(x | c) up to scale and a constant (Kingma et al. 2021,
    equation 14; Kong et al. 2023, equation 9): its least class is that of Bayes' rule with equal priors.
    """

    least: float
    greatest: float

    def __post_init__(self) -> None:
        ordered = 0 < self.least < self.greatest < math.inf
        require(ordered, "levels", "0 < least < greatest", (self.least, self.greatest))

    def sigma(self, u: Tensor) -> Tensor:
        """exp((1 - u) log least + u log greatest)."""
        return (math.log(self.least) + u * math.log(self.greatest / self.least)).exp()

    def weight(self, sigma: Tensor) -> Tensor:
        """1 / sigma^2."""
        return sigma**-2


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """After `draws[i]` draws (of all rounds), the `keep[i]` classes of the least loss go on; the last one wins."""

    draws: tuple[int, ...] = (20, 100)
    keep: tuple[int, ...] = (5, 1)

    def __post_init__(self) -> None:
        require(len(self.draws) == len(self.keep) >= 1, "keep", f"one number for each of draws {self.draws}", self.keep)
        rising = all(a < b for a, b in zip((0, *self.draws), self.draws, strict=False))
        require(rising, "draws", "rising positive numbers", self.draws)
        falling = all(a > b for a, b in zip(self.keep, (*self.keep[1:], 0), strict=True))
        require(falling and self.keep[-1] == 1, "keep", "falling numbers down to 1", self.keep)


class ClassLosses(NamedTuple):
    """Of one image: `losses` (classes,) and over how many `draws` (classes,) each is the mean."""

    losses: Tensor
    draws: Tensor

    @property
    def predicted(self) -> int:
        """The least loss of those with the most draws."""
        return int(self.losses.where(self.draws == self.draws.max(), math.inf).argmin())


@dataclass(frozen=True, kw_only=True, eq=False)
class DiffusionClassifier:
    """Calling it measures an image.

    Draw j of an image has the quantile (1/2 + j g) mod 1 of the noise levels, with g the golden ratio: any first few
    draws are spread evenly. Its noise is draw j of the image's seed, so that a decision depends on image and seed, and
    on the batch size in rounding alone.
    """

    denoise: ConditionalDenoise
    classes: int
    levels: NoiseLevels
    rounds: Rounds
    batch_size: int = 100

    @torch.no_grad()
    def __call__(self, image: Tensor, seed: int) -> ClassLosses:
        """The losses of an image (C, H, W)."""
        noise = samplers.PerImageNoise([seed], image.shape, device=image.device)
        sums, draws = (torch.zeros(self.classes, dtype=torch.float64) for _ in range(2))
        going, before = torch.arange(self.classes), 0
        for until, keep in zip(self.rounds.draws, self.rounds.keep, strict=True):
            u = (0.5 + GOLDEN * torch.arange(before, until, dtype=torch.float64)) % 1
            eps = torch.cat([noise() for _ in u])
            sums[going] += self._losses(image, self.levels.sigma(u), eps, going).sum(dim=1)
            draws[going] = until
            going, before = going[sums[going].argsort(stable=True)[:keep]], until
        return ClassLosses(losses=sums / draws, draws=draws.long())

    def _losses(self, image: Tensor, sigma: Tensor, eps: Tensor, classes: Tensor) -> Tensor:
        """(classes, draws): of every class at every draw, in batches that mix both."""
        draws = torch.arange(len(sigma))
        labels, draws = classes.repeat_interleave(len(draws)), draws.repeat(len(classes))
        parts = []
        for label, draw in zip(*(torch.split(rows, self.batch_size) for rows in (labels, draws)), strict=True):
            level, noise = sigma[draw].to(image.device, torch.float32), eps[draw]
            x = image + level.to(image.dtype).reshape(-1, 1, 1, 1) * noise.to(image.dtype)
            denoised = self.denoise(x, level, class_labels=label.to(image.device))
            error = (denoised - image).square().flatten(1).mean(dim=1)
            parts.append(error.cpu().double() * self.levels.weight(sigma[draw]))
        return torch.cat(parts).reshape(len(classes), len(sigma))
