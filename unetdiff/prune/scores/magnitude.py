"""Magnitude: score_i = sum |w| over the weights that go (Li et al. 2017, https://arxiv.org/abs/1608.08710)."""

from collections.abc import Sequence

from unetdiff.denoiser import Denoiser
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.parts import Part
from unetdiff.prune.scores.score import Score

__all__ = ["Magnitude"]


class Magnitude(Score):
    """Needs no data."""

    def __call__(self, denoiser: Denoiser, parts: Sequence[Part], calibration: Calibration) -> dict[str, float]:
        """From the weights alone."""
        return {
            part.name: sum(float(weight.detach().double().abs().sum()) for weight in part.gone(denoiser.unet))
            for part in parts
        }
