"""A denoiser with skip-tuning bound to it: rho is evaluated at the noise level of each network call."""

from typing import Protocol

import torch
from torch import Tensor
from typing_extensions import Unpack

from unetdiff.denoiser import Condition, Denoiser
from unetdiff.nn.skip import SkipSite
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
    rho = torch.tensor(over_skips.factors(denoiser.unet.config))
    sigma_range = denoiser.preconditioning.sigma_range

    def tuned(x: Tensor, sigma: Tensor | float, **condition: Unpack[Condition]) -> Tensor:
        sigmas = torch.as_tensor(sigma, dtype=torch.float32, device=x.device)
        share = over_sigma.share(sigmas, sigma_range)[..., None]
        skip_scale = torch.lerp(torch.ones_like(share), rho.to(x.device), share)  # (skips,) or (N, skips)
        denoised: Tensor = denoiser(x, sigma, skip_scale=skip_scale, skip_site=site, **condition)
        return denoised

    return tuned
