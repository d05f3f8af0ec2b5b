"""A denoiser with skip-tuning bound to it: rho is evaluated at the noise level of each network call."""

from typing import Protocol

import torch
from torch import Tensor
from typing_extensions import Unpack

from unetdiff.denoiser import Condition, Denoiser
from unetdiff.elementwise import Level
from unetdiff.nn.skip import SkipScale, SkipSite
from unetdiff.skips.over_sigma import OverSigma
from unetdiff.skips.over_skips import OverSkips

__all__ = ["ConditionalDenoise", "skip_tuned"]


class ConditionalDenoise(Protocol):
    """What a `Denoiser` is to its callers: `denoise(x, sigma, ...) -> x0`."""

    def __call__(self, x: Tensor, sigma: Tensor | float, **condition: Unpack[Condition]) -> Tensor:
        """Estimate the clean image."""


def skip_tuned(
    denoiser: Denoiser, over_skips: OverSkips, over_sigma: OverSigma, site: SkipSite = "concat"
) -> ConditionalDenoise:
    """The denoiser with the factors of `over_skips`, as far as `over_sigma` lets them act at the call's noise level.

    Bind conditions as to the denoiser itself, with `functools.partial`. `denoiser` is not changed. Noise levels may be
    one per image; so are the factors then. "Least" and "greatest" are those of `denoiser.preconditioning.sigma_range`.

    Raises:
        ValueError: a schedule that does not fit the network's skips.
    """
    rhos = over_skips.factors(denoiser.unet.config)
    sigma_range = denoiser.preconditioning.sigma_range

    def factors(sigma: Level) -> list[Level]:
        share = over_sigma.share(sigma, sigma_range)
        return [1 + share * (rho - 1) for rho in rhos]

    def tuned(x: Tensor, sigma: Tensor | float, **condition: Unpack[Condition]) -> Tensor:
        skip_scale: SkipScale
        if isinstance(sigma, Tensor):
            skip_scale = torch.stack(factors(sigma.to(x.device, torch.float32)), dim=-1)  # (skips,) or (N, skips)
        else:
            skip_scale = factors(sigma)
        denoised: Tensor = denoiser(x, sigma, skip_scale=skip_scale, skip_site=site, **condition)
        return denoised

    return tuned
