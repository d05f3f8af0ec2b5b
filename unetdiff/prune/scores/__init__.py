"""How much a network misses each of its parts: criteria of layer pruning.

    score = criterion(denoiser, parts, calibration)["mid_block.resnets.0"]

A criterion is a small class; `catalogue.CRITERIA` has them by name.
"""

from unetdiff.prune.scores.catalogue import CRITERIA, Criterion
from unetdiff.prune.scores.score import Score

__all__ = ["CRITERIA", "Criterion", "Score"]
