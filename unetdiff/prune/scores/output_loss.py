"""Output loss: the mean squared change of the network's output (Zhang et al. 2024, LAPTOP-Diff).

    score_i = E || F_{-i}(x, c) - F(x, c) ||^2 / dim F

F is the network's own output, before c_out: for EDM the error of the clean image would grow with the noise level, and
the highest would decide alone. https://arxiv.org/abs/2404.11098
"""

from collections.abc import Sequence

from torch import Tensor

from unetdiff.denoiser import Denoiser
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.forked import outputs_without
from unetdiff.prune.parts import Part
from unetdiff.prune.scores.score import Score

__all__ = ["OutputLoss", "weighted_error"]


class OutputLoss(Score):
    """The squared change of the output, averaged over its numbers and, by their weights, over the calibration set."""

    def __call__(self, denoiser: Denoiser, parts: Sequence[Part], calibration: Calibration) -> dict[str, float]:
        """By one forked pass for each batch."""
        scores = dict.fromkeys((part.name for part in parts), 0.0)
        for batch in calibration.batches:
            whole, without = outputs_without(denoiser, parts, batch)
            for name, output in without.items():
                scores[name] += weighted_error(output, whole, batch.weight)
        return scores


def weighted_error(output: Tensor, target: Tensor, weight: Tensor) -> float:
    """Sum over rows of weight (N,) times the mean squared difference of outputs (N, C, H, W)."""
    rows = (output.double() - target.double()).square().flatten(1).mean(dim=1)
    return float((rows * weight.double()).sum())
