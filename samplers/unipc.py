"""UniPC: one formula that first predicts x' and then, with D at the prediction, corrects it.

    x' = D + exp(-h) (x - D) - B(h) sum_k rho_k (D_k - D) / r_k,    r_k = (lambda_k - lambda) / h,  lambda = -log sigma

D_k are earlier predictions, for the corrector D(x'; sigma') besides, where r = 1. With i from 1, the weights solve

    sum_k r_k^(i-1) B(h) rho_k = -h i! phi_{i+1}(-h),    phi_1(z) = (exp(z) - 1) / z,  phi_{i+1} = (phi_i - 1/i!) / z

and B(h) is -h ("bh1") or exp(-h) - 1 ("bh2"), which decides only where rho stands alone and is rounded to 1/2. The
correction costs no network call: the next step starts from D(x'; sigma') anyway.

Zhao et al. 2023 (https://arxiv.org/abs/2302.04867), algorithms 1 (UniC) and 2 (UniP), for the prediction of x0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from samplers.checks import check_order
from samplers.history import History, remember
from samplers.sampler import Denoise, Noise, Sampler

__all__ = ["UniPC", "UniPCState", "Variant"]

Variant = Literal["bh1", "bh2"]


@dataclass(frozen=True, kw_only=True)
class UniPCState:
    """Where the last step started, for the corrector to take that step again."""

    steps_left: int
    history: History = ()
    x: Tensor | None = None
    order: int = 0


@dataclass(frozen=True, kw_only=True)
class UniPC(Sampler[UniPCState]):
    """Predictor of the given order, 1 to 3, one network call a step; the corrector adds an order.

    lower_order_final: take no higher order than there are steps left, up to the next restart.
    """

    order: int = 3
    variant: Variant = "bh2"
    lower_order_final: bool = True

    nfe: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_order(self.order, highest=3)
        if self.variant not in get_args(Variant):
            raise ValueError(f"variant: expected one of {get_args(Variant)}, got {self.variant!r}")

    def start(self, sigmas: Sequence[float]) -> UniPCState:
        """Count the steps."""
        return UniPCState(steps_left=len(sigmas) - 1)

    def step(
        self, denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, state: UniPCState | None, noise: Noise
    ) -> tuple[Tensor, UniPCState]:
        """Correct x by the prediction made at it, then predict x'."""
        assert state is not None, "the state of UniPC begins with `start`"
        D = denoise(x, sigma)
        if state.x is not None:
            x = self._update(state.x, sigma, state.history[: state.order], D)
        history = remember(state.history, sigma, D, self.order)
        order = min(len(history), state.steps_left) if self.lower_order_final else len(history)
        x_next = self._update(x, sigma_next, history[:order])
        return x_next, UniPCState(steps_left=state.steps_left - 1, history=history, x=x, order=order)

    def _update(self, x: Tensor, sigma_next: float, history: History, denoised_next: Tensor | None = None) -> Tensor:
        (sigma, D), *earlier = history
        if sigma_next == 0:
            return D
        h = math.log(sigma / sigma_next)
        others = [(math.log(sigma / sigma_k) / h, D_k) for sigma_k, D_k in earlier]
        if denoised_next is not None:
            others.append((1.0, denoised_next))
        r = [r_k for r_k, _ in others]
        weights = [weight / r_k for weight, r_k in zip(self._weights(r, h), r, strict=True)]

        x_next = math.exp(-h) * x + (sum(weights) - math.expm1(-h)) * D
        for weight, (_, D_k) in zip(weights, others, strict=True):
            x_next = x_next.sub(D_k, alpha=weight)
        return x_next

    def _weights(self, r: list[float], h: float) -> list[float]:
        """B(h) rho; a rho that stands alone is 1/2, which keeps the order and is what the authors' code has."""
        B = -h if self.variant == "bh1" else math.expm1(-h)
        if len(r) < 2:
            return [B / 2] * len(r)
        b, phi = [], math.expm1(-h) / -h
        for i in range(1, len(r) + 1):
            phi = (phi - 1 / math.factorial(i)) / -h  # phi_{i+1}(-h)
            b.append(-h * math.factorial(i) * phi)
        return _solved(r, b)


def _solved(r: list[float], b: list[float]) -> list[float]:
    """Solve sum_k r_k^(i-1) w_k = b_i: w_k is Lagrange's l_k(z), which is 1 at r_k, with b_i for each power z^(i-1)."""
    weights = []
    for r_k in r:
        l_k = [1.0]  # coefficients, lowest power first
        for r_j in (r_j for r_j in r if r_j != r_k):
            l_k = [(a - r_j * c) / (r_k - r_j) for a, c in zip([0.0, *l_k], [*l_k, 0.0], strict=True)]
        weights.append(sum(a * b_i for a, b_i in zip(l_k, b, strict=True)))
    return weights
