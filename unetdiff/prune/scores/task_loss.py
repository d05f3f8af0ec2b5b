"""Task loss: by how much the denoising loss rises when a part is removed, one of the criteria LAPTOP-Diff compares.

score_i = max(0, E || F_{-i} - target ||^2 / dim F - E || F - target ||^2 / dim F)
"""

from collections.abc import Sequence

from unetdiff.denoiser import Denoiser
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.forked import outputs_without
from unetdiff.prune.parts import Part
from unetdiff.prune.scores.output_loss import weighted_error
from unetdiff.prune.scores.score import Score

__all__ = ["TaskLoss"]


class TaskLoss(Score):
    """The rise of the squared error of what the network predicts; a part without which it falls costs nothing."""

    def __call__(self, denoiser: Denoiser, parts: Sequence[Part], calibration: Calibration) -> dict[str, float]:
        """By one forked pass for each batch."""
        rises = dict.fromkeys((part.name for part in parts), 0.0)
        for batch in calibration.batches:
            whole, without = outputs_without(denoiser, parts, batch)
            target = denoiser.target(batch.x, batch.sigma, batch.images)
            loss = weighted_error(whole, target, batch.weight)
            for name, output in without.items():
                rises[name] += weighted_error(output, target, batch.weight) - loss
        return {name: max(rise, 0.0) for name, rise in rises.items()}
