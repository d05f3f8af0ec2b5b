"""Pictures that are given: to start from instead of pure noise, or to tell the network of; and what of them stays."""

from dataclasses import dataclass

import torch
from torch import Tensor

import samplers
from unetdiff.plain import require

__all__ = ["StartOptions"]

STRENGTH = 0.6


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """Pictures that are given.

    Attributes:
        start: A picture, or a folder with one for each seed, in the order of names.
        strength: Share of the steps that is taken, 0.6 without it; with a mask 1, which begins with pure noise.
        mask: A picture that fits: black stays as it is, white is made anew.
        concat: A picture, or a folder with one for each seed, for a model of super-resolution or inpainting.
    """

    start: str | None = None
    strength: float | None = None
    mask: str | None = None
    concat: str | None = None

    def __post_init__(self) -> None:
        require(self.start is None or self.concat is None, "concat", "nothing with --start", self.concat)
        started = self.start is not None or self.strength is None
        require(started, "strength", "nothing without --start", self.strength)
        masked = self.given is not None or self.mask is None
        require(masked, "mask", "nothing without --start or --concat", self.mask)
        require(self.strength is None or 0 < self.strength <= 1, "strength", "a number in (0, 1]", self.strength)

    @property
    def given(self) -> tuple[str, str] | None:
        """The option that names pictures, and what it names."""
        if self.concat is not None:
            return "concat", self.concat
        return None if self.start is None else ("start", self.start)

    def resolved(self) -> "StartOptions":
        """With the strength that is meant."""
        if self.start is None or self.strength is not None:
            return self
        return StartOptions(start=self.start, mask=self.mask, strength=STRENGTH if self.mask is None else 1.0)

    def rest(self, sigmas: Tensor) -> Tensor:
        """What is left of a falling grid.

        Raises:
            ValueError: nothing is left.
        """
        strength = self.resolved().strength
        if strength is None:
            return sigmas
        nothing = torch.zeros(0)
        _, rest = samplers.start_from(nothing, lambda: nothing, sigmas, strength)
        steps = len(sigmas) - 1
        require(len(rest) > 1, "strength", f"a share that is at least one of {steps} steps", strength)
        return rest

    def begin(self, images: Tensor | None, noise: samplers.Noise, sigmas: Tensor) -> Tensor:
        """x at the first level of a falling grid's rest."""
        if images is None or self.resolved().strength in (None, 1):
            return sigmas[0].float() * noise()
        return images + sigmas[0].float() * noise()
