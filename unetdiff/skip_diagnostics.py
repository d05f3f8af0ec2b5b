"""What skip connections do in a network and what skip-tuning changes (Ma et al. 2024, sections 2, 5.1 and 5.4).

Noisy images are x + sigma eps of given images x and given noise eps, so that settings are compared on the same draws.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from typing_extensions import Unpack

from unetdiff.denoiser import Condition, Denoiser
from unetdiff.nodes import Node
from unetdiff.plain import require

__all__ = ["denoising_losses", "mmd_squared", "skip_ratios"]


@torch.no_grad()
def skip_ratios(
    denoiser: Denoiser, images: Tensor, noise: Tensor, sigmas: Sequence[float], **condition: Unpack[Condition]
) -> Tensor:
    """Mean of ||d_i||_2 / ||u_i||_2 over the images, of each skip d_i and the main path u_i that it joins.

    A factor in `condition` reaches the feature maps behind it, but is not part of ||d_i|| itself.

    Returns:
        (sigmas, skips), the skips in the order of `config.skips()`, innermost first.
    """
    ratios: list[Tensor] = []

    def measure(node: Node, u: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        ratios.append((_norms(d) / _norms(u)).mean())
        return u, d

    for sigma in sigmas:
        denoiser(images + sigma * noise, sigma, join=measure, **condition)
    return torch.stack(ratios).reshape(len(sigmas), -1)


@torch.no_grad()
def denoising_losses(
    denoise: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    noise: Tensor,
    sigmas: Sequence[float],
    spaces: Mapping[str, Callable[[Tensor], Tensor]],
) -> dict[str, Tensor]:
    """E ||f(D(x + sigma eps; sigma)) - f(x)||_2^2 by noise level, in each space f that is asked for.

    The paper finds that a smaller rho raises it for pixels, f the identity, and lowers it for the features of
    classifiers. Call it with the plain and with the skip-tuned denoiser.

    Args:
        denoise: with its conditions bound.
        images: (N, C, H, W), clean.
        noise: the same shape, of standard deviation 1.
        sigmas: noise levels.
        spaces: f by name; f takes (N, C, H, W) and returns (N, ...).

    Returns:
        (sigmas,) for each space.
    """
    targets = {name: f(images) for name, f in spaces.items()}
    losses: dict[str, list[Tensor]] = {name: [] for name in spaces}
    for sigma in sigmas:
        denoised = denoise(images + sigma * noise, images.new_full((), sigma))
        for name, f in spaces.items():
            losses[name].append(_norms(f(denoised) - targets[name]).square().mean())
    return {name: torch.stack(values) for name, values in losses.items()}


def mmd_squared(x: Tensor, y: Tensor, bandwidths: Sequence[float]) -> Tensor:
    """Maximum mean discrepancy of two samples, for instance of inverted images and Gaussian noise.

    MMD^2 = sum_{i != j} k(x_i, x_j) / (m (m - 1)) + sum_{i != j} k(y_i, y_j) / (n (n - 1)) - 2 sum k(x_i, y_j) / (m n)

    is unbiased, so it may be negative (Gretton et al. 2012, equation 3), with k(a, b) = exp(-||a - b||^2 / (2 h^2)).
    Distances between standard normal draws of D numbers lie around sqrt(2 D), so h should be of that order.

    Args:
        x: (m, ...), m at least 2.
        y: (n, ...), n at least 2.
        bandwidths: h of each kernel.

    Returns:
        (bandwidths,) in float64.
    """
    require(min(len(x), len(y)) >= 2, "x, y", "two samples of at least 2", (len(x), len(y)))
    require(all(h > 0 for h in bandwidths), "bandwidths", "positive numbers", bandwidths)
    x, y = (sample.flatten(1).double() for sample in (x, y))
    within_x, within_y, between = (_squared_distances(a, b) for a, b in ((x, x), (y, y), (x, y)))
    estimates = []
    for h in bandwidths:
        k_xx, k_yy, k_xy = (torch.exp(distances / (-2 * h**2)) for distances in (within_x, within_y, between))
        estimates.append(_mean_off_diagonal(k_xx) + _mean_off_diagonal(k_yy) - 2 * k_xy.mean())
    return torch.stack(estimates)


def _norms(x: Tensor) -> Tensor:
    """||x||_2 of each row, in float32 or better."""
    rows = x.flatten(1)
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.promote_types(rows.dtype, torch.float32))
    return norms


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b).square()


def _mean_off_diagonal(kernel: Tensor) -> Tensor:
    count = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))
