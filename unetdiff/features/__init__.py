"""What a denoiser knows of images: feature maps by place in the network and noise level."""

from unetdiff.features.capture import capture

__all__ = ["capture"]
