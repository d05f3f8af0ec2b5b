"""A weight that is learned: each noise level as a task of its own (Karras et al. 2024, EDM2, equation 21).

    L(D, u) = E [ l / exp(u(sigma)) + u(sigma) ]

l is the weighted squared error of an image. For a given sigma the minimum over u is at exp(u) = E l, so that all noise
levels come to contribute the same to the gradient.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unetdiff.plain import require

__all__ = ["LogVariance", "Uncertainty"]


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """Ask for u(sigma) to be learned beside the network, as a function of that many Fourier features."""

    channels: int = 128

    def __post_init__(self) -> None:
        require(self.channels >= 1, "uncertainty.channels", "a positive number", self.channels)

    def build(self) -> "LogVariance":
        """A new u(sigma), zero everywhere."""
        return LogVariance(self.channels)


class LogVariance(nn.Module):
    """u(sigma), linear in the features sqrt(2) cos(2 pi (f_i c_noise + phi_i)) (Karras et al. 2024, equation 75).

    f_i ~ N(0, 1) and phi_i ~ U(0, 1) stay as they were drawn. c_noise is EDM's ln(sigma) / 4 for every network: from
    one timestep of a thousand to the next, features of these frequencies would jump. u starts at zero, where the loss
    is the plain one. Shapes: (N,) -> (N,), in float32.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(channels))
        self.register_buffer("phases", torch.rand(channels))
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, sigma: Tensor) -> Tensor:
        """Log of the loss to expect."""
        c_noise = sigma.float().log() / 4
        features = math.sqrt(2) * (2 * math.pi * (c_noise[:, None] * self.frequencies + self.phases)).cos()
        return (features * self.weight).sum(dim=1)  # no matrix product: autocast would take it to half precision
