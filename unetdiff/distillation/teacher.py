"""A network that is asked and not trained."""

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import Unpack

from unetdiff.denoiser import Condition, Denoiser, Prediction

__all__ = ["Teacher"]


class Teacher:
    """A denoiser in evaluation mode and without gradients, on the device where it is.

    It is no module on purpose: what holds it does not train, share out or save it.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, x: Tensor, sigma: Tensor, **condition: Unpack[Condition]) -> Tensor:
        """Estimate the clean image, as `Denoiser` does."""
        denoised: Tensor = self.denoiser(x, sigma, **condition)
        return denoised

    @torch.no_grad()
    def predict(
        self, x: Tensor, sigma: Tensor, capture: Sequence[str] = (), **condition: Unpack[Condition]
    ) -> Prediction:
        """The same with output and feature maps, as `Denoiser.predict` has it."""
        return self.denoiser.predict(x, sigma, capture, **condition)
