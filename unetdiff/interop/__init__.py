"""Networks of other families under our names: weights and constructor arguments in, a `Denoiser` out."""

from unetdiff.interop.edm import from_edm
from unetdiff.interop.guided_diffusion import from_guided_diffusion

__all__ = ["from_edm", "from_guided_diffusion"]
