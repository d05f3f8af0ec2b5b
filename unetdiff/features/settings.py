"""How features are extracted: where, at which noise levels, and what the network is given and told."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unetdiff.features.cell import Cell, cells_of
from unetdiff.features.pooling import Pool, require_pool
from unetdiff.plain import require

__all__ = ["ConditionKind", "DType", "FeatureSettings"]

ConditionKind = Literal["null", "class", "text"]
DType = Literal["float16", "float32"]


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """Of a sweep: every tap at every noise level.

    Attributes:
        taps: places in the network, among `unet.taps`.
        sigmas: noise levels.
        pool: what is kept of a feature map.
        ensemble: noises that the features of an image are the mean of (DIFT takes 8).
        noisy: give the network the noisy image x0 + sigma eps; else the clean one, which it is told has this noise.
        seed: of the noise.
        condition: what the network is told: nothing, the image's class or its caption.
        dtype: of the features.
    """

    taps: tuple[str, ...]
    sigmas: tuple[float, ...]
    pool: Pool = "mean"
    ensemble: int = 1
    noisy: bool = True
    seed: int = 0
    condition: ConditionKind = "null"
    dtype: DType = "float32"

    def __post_init__(self) -> None:
        for field in ("taps", "sigmas"):
            values: Sequence[object] = getattr(self, field)
            require(0 < len(set(values)) == len(values), field, "one or more, each once", values)
        require(all(0 < sigma < math.inf for sigma in self.sigmas), "sigmas", "positive numbers", self.sigmas)
        require_pool(self.pool)
        require(self.ensemble >= 1, "ensemble", "at least 1", self.ensemble)
        require(self.noisy or self.ensemble == 1, "ensemble", "1 for clean images, which have no noise", self.ensemble)
        require(self.seed >= 0, "seed", "0 or more", self.seed)
        require(self.condition in ("null", "class", "text"), "condition", "null, class or text", self.condition)
        require(self.dtype in ("float16", "float32"), "dtype", "float16 or float32", self.dtype)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every tap at every noise level, tap by tap."""
        return cells_of(self.taps, self.sigmas)
