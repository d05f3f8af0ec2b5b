"""Inpainting: the known pixels of an image are put into every prediction of it.

    D = m y + (1 - m) D(x; sigma)

with the known image y and the mask m. This is the projection of DDNM, Wang et al. 2023
(https://arxiv.org/abs/2212.00490), with A = m. RePaint (Lugmayr et al. 2022, https://arxiv.org/abs/2201.09865) replaces
the pixels of x instead, with noise of its own at every step. That needs no place here: from known predictions a solver
itself leads the known pixels of x from their noise to y, at the noise level of every step, be it of any order; a
stochastic sampler renews their noise as well, and RePaint's resampling is a grid with restarts.

    noise = PerImageNoise(seeds, shape)
    x, sigmas = start_at(images, noise, karras(18), sigma=80.0)
    sigmas = with_restarts(sigmas, [Restart(t_min=1.0, t_max=10.0)])
    sample(inpainted(denoise, images, mask), x, sigmas, Heun(), noise=noise)
"""

import torch
from torch import Tensor

from samplers.sampler import Denoise, Sigma

__all__ = ["inpainted"]


def inpainted(denoise: Denoise, image: Tensor, mask: Tensor) -> Denoise:
    """Keep what is known of an image.

    image: (N, C, H, W), or (C, H, W) for all rows.
    mask: 1 where `image` is known, 0 where it is to be made, between them a mixture; broadcast to `image`.
    """
    if not ((mask >= 0) & (mask <= 1)).all():
        raise ValueError(f"mask: expected values in [0, 1], got {float(mask.min())} to {float(mask.max())}")
    try:
        mask = mask.expand_as(image)
    except RuntimeError as error:
        raise ValueError(f"mask: expected a shape that fits {tuple(image.shape)}, got {tuple(mask.shape)}") from error

    def projected(x: Tensor, sigma: Sigma) -> Tensor:
        D = denoise(x, sigma)
        return torch.lerp(D, image.to(D), mask.to(D))  # exact at both ends

    return projected
