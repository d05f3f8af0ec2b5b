"""Guidance, and what keeps its predictions in range."""

import math
from dataclasses import dataclass
from typing import Literal

import samplers
from unetdiff.cli.recipe.number_list import read_numbers
from unetdiff.plain import require

__all__ = ["GuidanceOptions"]


@dataclass(frozen=True, kw_only=True)
class GuidanceOptions:
    """Guidance.

    Attributes:
        guidance: Weight; 1 is none.
        guidance_interval: Noise levels where it acts, LO,HI; everywhere without it.
        guidance_rescale: How much of the contrast that it adds is taken back, from 0 to 1.
        negative_prompt: Text to be led away from.
        guide: Model folder of a poorer model to be led away from (autoguidance), instead of the condition left out.
        threshold: Keep predictions in the range of the data, clamp or dynamic.
        threshold_quantile: Share of the values that dynamic thresholding does not cut off.
    """

    guidance: float = 1.0
    guidance_interval: str | None = None
    guidance_rescale: float = 0.0
    negative_prompt: str | None = None
    guide: str | None = None
    threshold: Literal["clamp", "dynamic"] | None = None
    threshold_quantile: float = 0.995

    def __post_init__(self) -> None:
        require(math.isfinite(self.guidance), "guidance", "a finite number", self.guidance)
        require(0 < self.threshold_quantile <= 1, "threshold_quantile", "a number in (0, 1]", self.threshold_quantile)
        self.make()

    @property
    def guides(self) -> bool:
        """Whether a poorer prediction is needed."""
        return self.guidance != 1

    def make(self) -> samplers.Guidance:
        """The guidance.

        Raises:
            ValueError: an interval or a share that cannot be.
        """
        if self.guidance_interval is None:
            return samplers.Guidance(weight=self.guidance, rescale=self.guidance_rescale)
        lowest, highest = read_numbers(self.guidance_interval, "guidance_interval", "two noise levels, LO,HI", count=2)
        return samplers.Guidance(weight=self.guidance, interval=(lowest, highest), rescale=self.guidance_rescale)

    def in_range(self, denoise: samplers.Denoise, value_range: tuple[float, float]) -> samplers.Denoise:
        """The denoiser with thresholding."""
        if self.threshold is None:
            return denoise
        if self.threshold == "clamp":
            return samplers.clamped(denoise, value_range)
        return samplers.dynamically_thresholded(denoise, self.threshold_quantile, value_range)
