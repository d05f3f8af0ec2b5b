"""Pictures that a network is told beside the noisy image, concatenated to its channels: one class for each task."""

from unetdiff.conditioning.concat.concat import Concat
from unetdiff.conditioning.concat.described import described_concat
from unetdiff.conditioning.concat.inpainting import Inpainting
from unetdiff.conditioning.concat.super_resolution import SuperResolution

__all__ = ["Concat", "Inpainting", "SuperResolution", "described_concat"]
