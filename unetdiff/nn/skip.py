"""Where the encoder's feature maps meet the decoder's: [u, rho d] of the main path u and the skip d.

The factor rho is skip-tuning's (Ma et al. 2024, https://arxiv.org/abs/2402.15170, definition 3.1 and appendix C).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from unetdiff.nodes import Node
from unetdiff.plain import require

__all__ = [
    "Join",
    "Joined",
    "Joint",
    "SkipScale",
    "SkipSite",
    "control_residuals",
    "over_channels",
    "skip_factors",
]

SkipScale = float | Sequence[float] | Mapping[str, float] | Tensor

SkipSite = Literal["concat", "residual", "norm"]
"""Where rho acts: on the skip before the concatenation, on the block's shortcut path only, on its first norm's output
only. A norm cancels a factor on its input wherever none of its groups mixes u and d."""

Join = Callable[[Node, Tensor, Tensor], tuple[Tensor, Tensor]]
"""`join(node, u, d) -> (u, d)`: what `node` takes in place of the main path u and the skip d."""


class Joined(NamedTuple):
    """What a residual block takes: its input, and factors on the channels inside it, (1 or N, channels, 1, 1)."""

    x: Tensor
    shortcut_scale: Tensor | None = None
    norm_scale: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Joint:
    """How the skips join in one call of the network: a ControlNet's residual comes first, then `join`, then rho."""

    residuals: Mapping[str, Tensor]
    join: Join | None
    factors: Mapping[str, float | Tensor]
    site: SkipSite

    def __post_init__(self) -> None:
        require(self.site in get_args(SkipSite), "skip_site", f"one of {list(get_args(SkipSite))}", self.site)

    def __call__(self, node: Node, u: Tensor, d: Tensor) -> Joined:
        """Join u (N, C_u, H, W) and d (N, C_d, H, W)."""
        assert node.skip_from is not None
        residual, factor = self.residuals.get(node.skip_from), self.factors.get(node.skip_from)
        if residual is not None:
            d = d + residual
        if self.join is not None:
            u, d = self.join(node, u, d)
        if factor is None:
            return Joined(torch.cat([u, d], dim=1))
        if self.site == "concat":
            return Joined(torch.cat([u, d * _broadcast(factor, d)], dim=1))
        x, scale = torch.cat([u, d], dim=1), over_channels(factor, u.shape[1], d)
        return Joined(x, shortcut_scale=scale) if self.site == "residual" else Joined(x, norm_scale=scale)


def over_channels(factor: float | Tensor, untouched: int, d: Tensor) -> Tensor:
    """One for each of the first `untouched` channels, rho for each of d's: (1 or N, channels, 1, 1)."""
    rho = torch.as_tensor(factor, dtype=d.dtype, device=d.device).reshape(-1, 1, 1, 1)
    ones = rho.new_ones(rho.shape[0], untouched, 1, 1)
    return torch.cat([ones, rho.expand(-1, d.shape[1], -1, -1)], dim=1)


def _broadcast(factor: float | Tensor, d: Tensor) -> float | Tensor:
    return factor.to(d)[..., None, None, None] if isinstance(factor, Tensor) else factor


def skip_factors(skip_scale: SkipScale | None, skips: Sequence[str]) -> Mapping[str, float | Tensor]:
    """The factor of each skip by name; skips without one stay as they are.

    Raises:
        ValueError: a name that is no skip, or another number of factors than of skips.
    """
    if skip_scale is None:
        return {}
    if isinstance(skip_scale, Mapping):
        unknown = sorted(set(skip_scale) - set(skips))
        if unknown:
            raise ValueError(f"skip_scale: expected names among {list(skips)}, got {unknown}")
        return skip_scale
    if isinstance(skip_scale, (int, float)) or (isinstance(skip_scale, Tensor) and skip_scale.ndim == 0):
        return dict.fromkeys(skips, skip_scale)
    count = skip_scale.shape[-1] if isinstance(skip_scale, Tensor) else len(skip_scale)
    if count != len(skips):
        raise ValueError(f"skip_scale: expected one factor for each of {len(skips)} skips, got {count}")
    factors = skip_scale.unbind(dim=-1) if isinstance(skip_scale, Tensor) else skip_scale
    return dict(zip(skips, factors, strict=True))


def control_residuals(residuals: Sequence[Tensor] | None, skips: Sequence[str]) -> Mapping[str, Tensor]:
    """ControlNet's residuals, which come outermost first, by the skip that they are added to.

    Raises:
        ValueError: another number of residuals than of skips.
    """
    if residuals is None:
        return {}
    if len(residuals) != len(skips):
        expected = f"one tensor for each of {len(skips)} skips"
        raise ValueError(f"down_block_additional_residuals: expected {expected}, got {len(residuals)}")
    return dict(zip(reversed(skips), residuals, strict=True))
