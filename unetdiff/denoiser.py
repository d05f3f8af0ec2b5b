"""From a network to an estimate of the clean image (Karras et al. 2022, equation 7 and table 1).

    D(x, sigma) = c_skip(sigma) x + c_out(sigma) F(c_in(sigma) x, c_noise(sigma))

x = x0 + sigma eps is the noisy image, F the network, D the estimate of x0. Networks that predict the noise, the
velocity or the image differ in these four functions alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from unetdiff.noise import DiscreteSchedule, NoiseSchedule
from unetdiff.plain import from_plain, require, to_plain
from unetdiff.unet import SkipScale, UNet

__all__ = [
    "EDM",
    "VE",
    "X0",
    "Condition",
    "Denoiser",
    "Epsilon",
    "Preconditioning",
    "RectifiedFlow",
    "V",
    "preconditioning_from_dict",
    "preconditioning_to_dict",
]


class Preconditioning(ABC):
    """The four functions of sigma, each elementwise."""

    @abstractmethod
    def c_skip(self, sigma: Tensor) -> Tensor:
        """Share of the noisy image in the estimate."""

    @abstractmethod
    def c_out(self, sigma: Tensor) -> Tensor:
        """Factor on the network's output."""

    @abstractmethod
    def c_in(self, sigma: Tensor) -> Tensor:
        """Factor on the network's input."""

    @abstractmethod
    def c_noise(self, sigma: Tensor) -> Tensor:
        """The number that the network is conditioned on."""


@dataclass(frozen=True, kw_only=True)
class EDM(Preconditioning):
    """Unit-variance input and target for data of standard deviation sigma_data (Karras et al. 2022, appendix B.6)."""

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        require(self.sigma_data > 0, "sigma_data", "a positive number", self.sigma_data)

    def c_skip(self, sigma: Tensor) -> Tensor:
        """sigma_data^2 / (sigma^2 + sigma_data^2)."""
        return self.sigma_data**2 / (sigma**2 + self.sigma_data**2)

    def c_out(self, sigma: Tensor) -> Tensor:
        """sigma sigma_data / sqrt(sigma^2 + sigma_data^2)."""
        return sigma * self.sigma_data / (sigma**2 + self.sigma_data**2).sqrt()

    def c_in(self, sigma: Tensor) -> Tensor:
        """1 / sqrt(sigma^2 + sigma_data^2)."""
        return 1 / (sigma**2 + self.sigma_data**2).sqrt()

    def c_noise(self, sigma: Tensor) -> Tensor:
        """ln(sigma) / 4."""
        return sigma.log() / 4


@dataclass(frozen=True, kw_only=True)
class VE(Preconditioning):
    """The network predicts minus the noise, of an unscaled input (Song et al. 2021; Karras et al. 2022, table 1)."""

    def c_skip(self, sigma: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(sigma)

    def c_out(self, sigma: Tensor) -> Tensor:
        """Sigma."""
        return sigma

    def c_in(self, sigma: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(sigma)

    def c_noise(self, sigma: Tensor) -> Tensor:
        """ln(sigma / 2)."""
        return (sigma / 2).log()


@dataclass(frozen=True, kw_only=True)
class _VariancePreserving(Preconditioning):
    """Networks on sqrt(alpha_bar) x = x / sqrt(sigma^2 + 1), conditioned on the timestep of a schedule."""

    schedule: NoiseSchedule = DiscreteSchedule()

    def c_in(self, sigma: Tensor) -> Tensor:
        """1 / sqrt(sigma^2 + 1)."""
        return 1 / (sigma**2 + 1).sqrt()

    def c_noise(self, sigma: Tensor) -> Tensor:
        """The schedule's timestep."""
        return self.schedule.timestep(sigma).to(sigma.dtype)


@dataclass(frozen=True, kw_only=True)
class Epsilon(_VariancePreserving):
    """The network predicts the noise: x0 = x - sigma eps (Ho et al. 2020)."""

    def c_skip(self, sigma: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(sigma)

    def c_out(self, sigma: Tensor) -> Tensor:
        """Minus sigma."""
        return -sigma


@dataclass(frozen=True, kw_only=True)
class V(_VariancePreserving):
    """The network predicts v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0 (Salimans & Ho 2022, appendix D)."""

    def c_skip(self, sigma: Tensor) -> Tensor:
        """1 / (sigma^2 + 1)."""
        return 1 / (sigma**2 + 1)

    def c_out(self, sigma: Tensor) -> Tensor:
        """-sigma / sqrt(sigma^2 + 1)."""
        return -sigma / (sigma**2 + 1).sqrt()


@dataclass(frozen=True, kw_only=True)
class X0(_VariancePreserving):
    """The network predicts the clean image."""

    def c_skip(self, sigma: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(sigma)

    def c_out(self, sigma: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(sigma)


@dataclass(frozen=True, kw_only=True)
class RectifiedFlow(Preconditioning):
    """The network predicts the velocity eps - x0 at (1 - t) x0 + t eps (Liu et al. 2023), so sigma = t / (1 - t).

    It is conditioned on `time_scale` t.
    """

    time_scale: float = 1000.0

    def c_skip(self, sigma: Tensor) -> Tensor:
        """1 - t."""
        return 1 / (1 + sigma)

    def c_out(self, sigma: Tensor) -> Tensor:
        """Minus t."""
        return -sigma / (1 + sigma)

    def c_in(self, sigma: Tensor) -> Tensor:
        """1 - t."""
        return 1 / (1 + sigma)

    def c_noise(self, sigma: Tensor) -> Tensor:
        """Time, scaled."""
        return self.time_scale * sigma / (1 + sigma)


_KINDS = {kind.__name__: kind for kind in (EDM, VE, Epsilon, V, X0, RectifiedFlow)}


def preconditioning_to_dict(preconditioning: Preconditioning) -> dict[str, Any]:
    """Plain values for `denoiser.json`: the fields and the kind."""
    return {"kind": type(preconditioning).__name__, **to_plain(preconditioning)}


def preconditioning_from_dict(values: Mapping[str, Any]) -> Preconditioning:
    """Inverse of `preconditioning_to_dict`.

    Raises:
        ValueError: an unknown kind or field; the message names it.
    """
    kind = values.get("kind")
    require(kind in _KINDS, "preconditioning.kind", f"one of {list(_KINDS)}", kind)
    fields = {name: value for name, value in values.items() if name != "kind"}
    return from_plain(_KINDS[str(kind)], fields, "preconditioning")


class Condition(TypedDict, total=False):
    """What a network may be conditioned on beside the noise level; shapes as `UNet.forward` says."""

    encoder_hidden_states: Tensor | None
    encoder_attention_mask: Tensor | None
    class_labels: Tensor | None
    vector: Tensor | None
    added_cond_kwargs: Mapping[str, Tensor] | None
    concat: Tensor | None
    down_block_additional_residuals: Sequence[Tensor] | None
    mid_block_additional_residual: Tensor | None
    skip_scale: SkipScale | None


class Denoiser(nn.Module):
    """`denoiser(x, sigma, ...) -> x0`; bind conditioning with `functools.partial` to get the samplers' contract."""

    def __init__(self, unet: UNet, preconditioning: Preconditioning) -> None:
        super().__init__()
        self.unet = unet
        self.preconditioning = preconditioning

    def forward(self, x: Tensor, sigma: Tensor | float, **condition: Unpack[Condition]) -> Tensor:
        """Estimate the clean image.

        Args:
            x: (N, C, H, W), with noise of standard deviation `sigma`.
            sigma: the noise level, one number or (N,), above zero.
            **condition: as `UNet.forward` takes it.

        Returns:
            (N, C, H, W) in the precision of `x`, whatever the network's.
        """
        p = self.preconditioning
        sigma = torch.as_tensor(sigma, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
        c_skip, c_out, c_in = (c(sigma).to(x.dtype).reshape(-1, 1, 1, 1) for c in (p.c_skip, p.c_out, p.c_in))
        (F,) = self.unet((c_in * x).to(self.unet.dtype), p.c_noise(sigma), return_dict=False, **condition)
        denoised: Tensor = c_skip * x + c_out * F.to(x.dtype)
        return denoised
