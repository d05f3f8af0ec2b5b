"""Skip-tuning (Ma et al. 2024, https://arxiv.org/abs/2402.15170): weaker skip connections for better few-step samples.

Schedules of the factor rho over the skips and over the noise level, bound to a denoiser, folded into weights, or
applied to diffusers' own networks; FreeU to compare with.
"""

from unetdiff.skips.folding import fold_skip_scale
from unetdiff.skips.freeu import FreeU
from unetdiff.skips.in_diffusers import applied_to
from unetdiff.skips.over_sigma import Constant, Decreasing, Increasing, OverSigma, Window, suited_to
from unetdiff.skips.over_skips import EqualWidth, Linear, Listed, OverSkips, Uniform
from unetdiff.skips.tuned import skip_tuned

__all__ = [
    "Constant",
    "Decreasing",
    "EqualWidth",
    "FreeU",
    "Increasing",
    "Linear",
    "Listed",
    "OverSigma",
    "OverSkips",
    "Uniform",
    "Window",
    "applied_to",
    "fold_skip_scale",
    "skip_tuned",
    "suited_to",
]
