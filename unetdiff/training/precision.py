"""How exactly NVIDIA GPUs multiply float32 numbers: TF32 rounds the factors to 10 bits of mantissa and sums in float32.

torch's own default is TF32 for convolutions, which a U-Net is nearly all of, and float32 for matrix products.
"""

import warnings

import torch

__all__ = ["allow_tf32"]


def allow_tf32(device: torch.device, allowed: bool) -> None:
    """Set it for convolutions and matrix products alike, for the whole process; other devices stay as they are.

    The settings are those of torch before 2.9: after the new ones, reading an old one is an error, and
    `torch.compile` of 2.9 reads them. Some versions warn of their age, which nobody here can act on.
    """
    if device.type != "cuda":
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please use the new API settings to control TF32")
        torch.set_float32_matmul_precision("high" if allowed else "highest")
        torch.backends.cudnn.allow_tf32 = allowed
