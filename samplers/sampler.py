"""What a sampler is: hyper-parameters with a pure step from one noise level to the next.

A step sees the denoiser, x at noise level sigma and the level to reach. What a multistep method remembers of earlier
steps travels in `state`, so that no sampler needs a loop of its own; what it must know of the grid as a whole it puts
into the first state, in `start`; what is random comes from `noise`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import ClassVar, Generic, TypeVar

from torch import Tensor

__all__ = ["Denoise", "Noise", "Sampler", "Sigma", "State"]

Sigma = float | Tensor
"""A noise level: one number, or one for each row, (N,)."""

Denoise = Callable[[Tensor, Sigma], Tensor]
"""`denoise(x, sigma) -> x0`: the clean image expected under x = x0 + sigma * eps. Samplers give sigma as a number."""

Noise = Callable[[], Tensor]
"""The next standard normal draw, in the shape of x."""

State = TypeVar("State")


class Sampler(ABC, Generic[State]):
    """A solver of the sampling equation; subclasses are frozen dataclasses of its hyper-parameters.

    `State` is what a multistep method hands from step to step; one-step methods are `Sampler[None]`.
    """

    nfe: ClassVar[int]
    """Network calls of a step; a step to sigma 0 takes one."""

    ascends: ClassVar[bool] = False
    """Whether its steps lead to higher noise levels: from an image to its noise."""

    @property
    @abstractmethod
    def order(self) -> int:
        """Order of convergence in the step size (weak order for a stochastic sampler)."""

    @property
    def stochastic(self) -> bool:
        """Whether a step draws noise."""
        return False

    def start(self, sigmas: Sequence[float]) -> State | None:
        """Return the state before the first of the steps over `sigmas`.

        Called again wherever noise from outside moves x off the sampler's own trajectory.
        """
        return None

    @abstractmethod
    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: State | None, noise: Noise
    ) -> tuple[Tensor, State | None]:
        """Take x from noise level sigma to sigma_next.

        `state` is what `start` or the previous step returned. Nothing is drawn on the step to sigma 0.
        """

    def network_calls(self, sigmas: Tensor) -> int:
        """Count the network calls of a run over `sigmas`."""
        steps = [(sigma, sigma_next) for sigma, sigma_next in pairwise(sigmas) if (sigma < sigma_next) == self.ascends]
        return sum(1 if sigma_next == 0 else self.nfe for _, sigma_next in steps)
