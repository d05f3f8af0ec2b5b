"""Feature cosine: how far a part turns the feature map of its node (Men et al. 2024, ShortGPT's block influence).

    score_i = E [1 - cos(h, h_{-i})]

h (C, H, W) is the node's feature map, h_{-i} the same without the part, of the same input.
https://arxiv.org/abs/2403.03853
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from unetdiff.denoiser import Denoiser
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.forked import at_parts
from unetdiff.prune.parts import Part
from unetdiff.prune.scores.score import Score
from unetdiff.walk import Fork

__all__ = ["FeatureCosine"]


class FeatureCosine(Score):
    """Local: nothing behind the node is looked at."""

    def __call__(self, denoiser: Denoiser, parts: Sequence[Part], calibration: Calibration) -> dict[str, float]:
        """By one pass for each batch, and two further runs of its own node for each part."""

        def turn(fork: Fork, part: Part) -> Tensor:
            own = fork.feature(denoiser.unet.get_submodule(part.node))
            return 1 - _cosine(own, fork.feature(part.left))

        scores = dict.fromkeys((part.name for part in parts), 0.0)
        for batch in calibration.batches:
            _, turns = at_parts(denoiser, parts, batch, turn)
            for name, turned in turns.items():
                scores[name] += float((turned * batch.weight.double()).sum())
        return {name: max(score, 0.0) for name, score in scores.items()}  # rounding may leave cos above 1


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """(N,) in float64."""
    return torch.cosine_similarity(a.flatten(1).double(), b.flatten(1).double(), dim=1)
