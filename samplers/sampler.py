"""What a sampler is: hyper-parameters with a pure step from one noise level to the next.

A step sees the denoiser, x at noise level sigma and the level to reach. What a multistep method remembers of earlier
steps travels in `state`, so that no sampler needs a loop of its own; what is random comes from `noise`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

from torch import Tensor

__all__ = ["Denoise", "Noise", "Sampler", "State"]

Denoise = Callable[[Tensor, Tensor], Tensor]
"""`denoise(x, sigma) -> x0`: the clean image expected under x = x0 + sigma * eps; sigma is 0-d or one per row."""

Noise = Callable[[], Tensor]
"""The next standard normal draw, in the shape of x."""

State = TypeVar("State")


class Sampler(ABC, Generic[State]):
    """A solver of the sampling equation; subclasses are frozen dataclasses of its hyper-parameters.

    `State` is what a multistep method hands from step to step; one-step methods are `Sampler[None]`.
    """

    order: ClassVar[int]
    """Order of convergence in the step size (weak order for a stochastic sampler)."""

    nfe: ClassVar[int]
    """Network calls of a step; a step to sigma 0 takes one."""

    @property
    def stochastic(self) -> bool:
        """Whether a step draws noise."""
        return False

    @abstractmethod
    def step(
        self, denoise: Denoise, x: Tensor, sigma: Tensor, sigma_next: Tensor, state: State | None, noise: Noise
    ) -> tuple[Tensor, State | None]:
        """Take x from noise level sigma to sigma_next < sigma, both 0-d float64 on the CPU.

        `state` is what the previous step returned, None on the first. Nothing is drawn on the step to sigma 0.
        """

    def network_calls(self, sigmas: Tensor) -> int:
        """Count the network calls of a run over `sigmas`."""
        to_zero = int(sigmas[-1] == 0)
        return self.nfe * (len(sigmas) - 1 - to_zero) + to_zero
