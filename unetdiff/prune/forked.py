"""What a network gives without each of its parts, in one pass.

All nodes before the one that a part lies in compute the same with and without it. So the network runs once, and in
front of each node goes on, from the feature maps that it has there, to the end without each part of that node. For N
parts that is one run and what lies behind each of them, in place of 1 + N runs: half of the work where cost is spread
evenly, more where the last levels cost most. The feature maps of one batch are held once.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unetdiff.denoiser import Condition, Denoiser
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.parts import Part
from unetdiff.walk import Fork

__all__ = ["at_parts", "outputs_without"]


def outputs_without(denoiser: Denoiser, parts: Sequence[Part], batch: Calibration) -> tuple[Tensor, dict[str, Tensor]]:
    """The network's output F (N, C, H, W) of a batch, and by its name that without each part."""
    channels = batch.images.shape[1]
    return at_parts(denoiser, parts, batch, lambda fork, part: fork.output(part.left)[:, :channels])


@torch.no_grad()
def at_parts(
    denoiser: Denoiser, parts: Sequence[Part], batch: Calibration, read: Callable[[Fork, Part], Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The output F of a batch, and what `read` gives in front of the node of each part, by the part's name."""
    of_node: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        of_node[part.node].append(part)
    found: dict[str, Tensor] = {}

    def visit(fork: Fork) -> None:
        for part in of_node.get(fork.node.name, ()):
            found[part.name] = read(fork, part)

    condition: Condition = {**batch.condition, "fork": visit}
    return denoiser.output(batch.x, batch.sigma, **condition), found
