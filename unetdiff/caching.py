"""Skip caching: deep feature maps, which change slowly from noise level to noise level, serve several network calls.

A skip cuts the network in two. Outside are the encoder down to the feature map d that it carries and the decoder from
where d joins the main path u; inside is all between:

    d = encoder(x),    u = inside(d) at every N-th call, else the last one,    F = decoder(u, d)

Ma et al. 2024, DeepCache (https://arxiv.org/abs/2312.00858), section 3.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import Unpack

from unetdiff.denoiser import Condition
from unetdiff.plain import require
from unetdiff.skips.tuned import ConditionalDenoise
from unetdiff.walk import SkipCache

__all__ = ["cached"]

ROUNDING = 1e-5
"""What a noise level may rise by, relatively: samplers reach the same one by several formulas."""


def cached(denoise: ConditionalDenoise, interval: int, skip: str) -> ConditionalDenoise:
    """The denoiser with everything inside a skip computed at every N-th network call only, without gradients.

    The result remembers what it reuses: make one for each sampling run and each condition, and bind conditions to it.
    (Guidance in one call has one condition, of twice the rows; with two calls, each denoiser wants its own.) It
    computes in full, and counts from there, where what it remembers belongs to something else: another shape, type or
    device of x, another object among the conditions, or a noise level above the last, as after a restart or churn.

    Args:
        denoise: a `Denoiser`, or one that `unetdiff.skips.skip_tuned` wraps. It is not changed.
        interval: N, counted in network calls: both of a Heun step's count. 1 is `denoise` itself, to the bit.
        skip: one of the network's `skips`, which are named innermost first; the further out, the more is reused.

    Raises:
        ValueError: an interval below 1; at the first call, a name that is no skip.
    """
    require(interval >= 1, "interval", "a positive number of network calls", interval)
    return _Cached(denoise, interval, skip)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Call:
    """What a network call was made with, and how many calls before it the cache was filled."""

    x: tuple[torch.Size, torch.dtype, torch.device]
    sigma: Tensor
    condition: Mapping[str, object]
    cache: SkipCache
    age: int

    def leads_to(self, x: Tensor, sigma: Tensor, condition: Mapping[str, object]) -> bool:
        """Whether a call belongs to the same run."""
        return (
            self.x == (x.shape, x.dtype, x.device)
            and self.condition.keys() == condition.keys()
            and all(value is condition[name] for name, value in self.condition.items())
            and not bool((sigma > self.sigma * (1 + ROUNDING)).any())
        )


class _Cached:
    def __init__(self, denoise: ConditionalDenoise, interval: int, skip: str) -> None:
        self._denoise = denoise
        self._interval = interval
        self._skip = skip
        self._last: _Call | None = None

    @torch.no_grad()
    def __call__(self, x: Tensor, sigma: Tensor | float, **condition: Unpack[Condition]) -> Tensor:
        last, level = self._last, torch.as_tensor(sigma)
        if last is not None and last.age + 1 < self._interval and last.leads_to(x, level, condition):
            cache, age = last.cache, last.age + 1
        else:
            cache, age = SkipCache(skip=self._skip), 0
        with_cache: Condition = {**condition, "skip_cache": cache}
        denoised = self._denoise(x, sigma, **with_cache)
        self._last = _Call(x=(x.shape, x.dtype, x.device), sigma=level, condition=condition, cache=cache, age=age)
        return denoised
