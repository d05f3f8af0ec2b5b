"""From what a model folder says to the task: what sampling asks of it does not depend on the rest of its fields."""

from unetdiff.conditioning.concat.concat import Concat
from unetdiff.conditioning.concat.inpainting import Inpainting
from unetdiff.conditioning.concat.super_resolution import SuperResolution
from unetdiff.model_info import ConcatInfo

__all__ = ["described_concat"]


def described_concat(info: ConcatInfo) -> Concat:
    """The task that `info` describes, for sampling."""
    if info.factor is not None:
        return SuperResolution(factor=info.factor)
    return Inpainting()
