"""Averages of any width after the training, from stored ones (post-hoc EMA; Karras et al. 2024, EDM2, appendix C).

A power-function average is the integral of theta(tau) p(tau) with p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1) on
[0, t]. A profile that was never tracked is approximated by those of the snapshots:

    minimise  || sum_i x_i p_i - p ||^2   subject to  sum_i x_i = 1

so that weights which never changed stay what they are. The same x then combine the stored weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load_file
from torch import Tensor

from unetdiff.errors import InputError
from unetdiff.training.averages.power import exponent
from unetdiff.training.averages.snapshots import Snapshot

__all__ = ["Combination", "Profile", "combine", "reconstruct"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A power-function profile: its width sigma_rel, and the optimiser step t at which it ends."""

    width: float
    step: int


@dataclass(frozen=True, kw_only=True)
class Combination:
    """The factor x_i of each given profile, and the relative error || sum_i x_i p_i - p || / || p || of their sum."""

    factors: tuple[float, ...]
    error: float


def combine(profiles: Sequence[Profile], target: Profile) -> Combination:
    """The best approximation of `target`: the stationary point of the Lagrange function, in float64."""
    products = _inner_products([*profiles, target])
    norm = products.diagonal().sqrt()
    products = products / norm / norm[:, None]  # of profiles of unit length, else the late and narrow outweigh the rest
    A, b, scale = products[:-1, :-1], products[:-1, -1:], (norm[-1] / norm[:-1])[:, None]
    lagrange = torch.cat([torch.cat([A, scale], dim=1), torch.cat([scale.mT, scale.new_zeros(1, 1)], dim=1)])
    y = torch.linalg.solve(lagrange, torch.cat([b, b.new_ones(1, 1)]))[:-1]
    error = (1 - 2 * y.mT @ b + y.mT @ A @ y).clamp(min=0).sqrt()
    return Combination(factors=tuple((y * scale)[:, 0].tolist()), error=error.item())


def reconstruct(
    snapshots: Sequence[Snapshot], factors: Sequence[float], like: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The sum of the stored weights times `factors`, made in float64 and given in the dtypes of `like`.

    Raises:
        InputError: a snapshot that has other tensors than `like`.
    """
    totals = {name: torch.zeros(tensor.shape, dtype=torch.float64) for name, tensor in like.items()}
    for snapshot, factor in zip(snapshots, factors, strict=True):
        stored = load_file(snapshot.path)
        if {name: tensor.shape for name, tensor in stored.items()} != {name: t.shape for name, t in totals.items()}:
            raise InputError(f"{snapshot.path}: expected the weights of the run's model, got other tensors")
        for name, total in totals.items():
            total.add_(stored[name], alpha=factor)
    return {name: total.to(like[name].dtype) for name, total in totals.items()}


def _inner_products(profiles: Sequence[Profile]) -> Tensor:
    """<p_i, p_j> = (a + 1)(b + 1) / (a + b + 1) (t_i / t_j)^b / t_j for t_i <= t_j, with a and b their exponents."""
    t = torch.tensor([profile.step for profile in profiles], dtype=torch.float64)
    gamma = torch.tensor([exponent(profile.width) for profile in profiles], dtype=torch.float64)
    a, t_a, b, t_b = gamma[:, None], t[:, None], gamma, t
    later = torch.maximum(t_a, t_b)
    ratio = torch.minimum(t_a, t_b) / later
    return (a + 1) * (b + 1) / (a + b + 1) * ratio ** torch.where(t_a < t_b, b, a) / later
