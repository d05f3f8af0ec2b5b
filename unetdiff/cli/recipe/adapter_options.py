"""A LoRA on top of the model."""

import math
from dataclasses import dataclass

from unetdiff.lora import fuse_lora
from unetdiff.plain import require
from unetdiff.unet import UNet

__all__ = ["AdapterOptions"]


@dataclass(frozen=True, kw_only=True)
class AdapterOptions:
    """LoRA.

    Attributes:
        lora: A LoRA file, or the folder of the run that trained it, for this model.
        lora_scale: Factor on what it adds; 1 without it.
    """

    lora: str | None = None
    lora_scale: float | None = None

    def __post_init__(self) -> None:
        if self.lora_scale is not None:
            require(self.lora is not None, "lora_scale", "nothing without --lora", self.lora_scale)
            require(math.isfinite(self.lora_scale), "lora_scale", "a finite number", self.lora_scale)

    def apply(self, unet: UNet) -> None:
        """Add it to the weights.

        Raises:
            InputError: it is not there or not for this network.
        """
        if self.lora is not None:
            fuse_lora(unet, self.lora, 1.0 if self.lora_scale is None else self.lora_scale)
