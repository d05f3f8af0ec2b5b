"""What the computation of an image was besides its settings: enough to do it again to the bit on the same machine.

Sums are taken in an order that depends on the size of the batch and the number of threads, so both are recorded; which
other images were in the batch does not matter.
"""

from dataclasses import dataclass

import torch

from unetdiff import __version__

__all__ = ["Made"]


@dataclass(frozen=True, kw_only=True)
class Made:
    """Versions, the model's folder as it was named (None is the shipped one), and the image's place in its batch."""

    unetdiff_version: str
    torch_version: str
    device: str
    threads: int
    model: str | None
    batch_size: int
    row: int

    @classmethod
    def here(cls, device: torch.device, model: str | None, batch_size: int, row: int) -> "Made":
        """By this process."""
        return cls(
            unetdiff_version=__version__,
            torch_version=torch.__version__,
            device=device.type,
            threads=torch.get_num_threads(),
            model=model,
            batch_size=batch_size,
            row=row,
        )
