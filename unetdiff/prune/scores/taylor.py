"""Taylor: by how much the loss would change if weights went to zero, to first order.

    score_i = | sum_w g w |,   g the gradient of E || F - target ||^2 / dim F

Over the weights that go with a part. Molchanov et al. 2019, https://arxiv.org/abs/1906.10771; for diffusion Fang et
al. 2023 (Diff-Pruning), https://arxiv.org/abs/2305.10924.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from unetdiff.denoiser import Denoiser
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.parts import Part
from unetdiff.prune.scores.score import Score
from unetdiff.unet import UNet

__all__ = ["Taylor"]


class Taylor(Score):
    """One backward pass for each batch."""

    def __call__(self, denoiser: Denoiser, parts: Sequence[Part], calibration: Calibration) -> dict[str, float]:
        """Sums of g w over the batches, then their absolute values."""
        gone = {part.name: part.gone(denoiser.unet) for part in parts}
        weights = list({id(weight): weight for group in gone.values() for weight in group}.values())
        changes = dict.fromkeys(gone, 0.0)
        with _requiring_gradients(denoiser.unet), torch.enable_grad():
            for batch in calibration.batches:
                gradients = torch.autograd.grad(_loss(denoiser, batch), weights)
                products = {
                    id(weight): float((gradient.double() * weight.detach().double()).sum())
                    for weight, gradient in zip(weights, gradients, strict=True)
                }
                for name, group in gone.items():
                    changes[name] += sum(products[id(weight)] for weight in group)
        return {name: abs(change) for name, change in changes.items()}


def _loss(denoiser: Denoiser, batch: Calibration) -> torch.Tensor:
    error = denoiser.output(batch.x, batch.sigma, **batch.condition) - denoiser.target(
        batch.x, batch.sigma, batch.images
    )
    return (error.square().flatten(1).mean(dim=1) * batch.weight).sum()


@contextmanager
def _requiring_gradients(unet: UNet) -> Iterator[None]:
    """All parameters inside; each as it was afterwards."""
    before = [(parameter, parameter.requires_grad) for parameter in unet.parameters()]
    unet.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, required in before:
            parameter.requires_grad_(required)
