"""FreeU (Si et al. 2023, https://arxiv.org/abs/2309.11497), to compare skip-tuning with.

    u[:C/2] <- b u[:C/2],    d <- IFFT(FFT(d) * m),  m = s at the lowest frequencies, 1 elsewhere   (equations 3 and 4)

As diffusers does it: (b1, s1) in the innermost block of the decoder, (b2, s2) in the next.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from unetdiff.nodes import Node

__all__ = ["FreeU"]


@dataclass(frozen=True, kw_only=True)
class FreeU:
    """A `join` of networks and denoisers: `partial(denoiser, join=FreeU(b1=1.5, b2=1.6, s1=0.9, s2=0.2))`.

    Those are the values for Stable Diffusion 1.5.
    """

    b1: float
    b2: float
    s1: float
    s2: float

    def __call__(self, node: Node, u: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """Strengthen half of the main path u, weaken the low frequencies of the skip d."""
        if node.name.startswith("up_blocks.0."):
            return _strengthened(u, self.b1), _high_passed(d, self.s1)
        if node.name.startswith("up_blocks.1."):
            return _strengthened(u, self.b2), _high_passed(d, self.s2)
        return u, d


def _strengthened(u: Tensor, b: float) -> Tensor:
    half = u.shape[1] // 2
    return torch.cat([u[:, :half] * b, u[:, half:]], dim=1)


def _high_passed(d: Tensor, s: float) -> Tensor:
    """The frequencies 0 and -1 in both directions times s; in float32, since FFTs know no bfloat16."""
    height, width = d.shape[2:]
    mask = torch.ones(height, width, device=d.device)
    lowest = torch.tensor([0, -1], device=d.device)
    mask[lowest[:, None], lowest] = s
    filtered: Tensor = torch.fft.ifft2(torch.fft.fft2(d.float()) * mask).real
    return filtered.to(d.dtype)
