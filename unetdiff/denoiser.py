"""From a network to an estimate of the clean image (Karras et al. 2022, equation 7).

    D(x, sigma) = c_skip(sigma) x + c_out(sigma) F(c_in(sigma) x, c_noise(sigma))

x = x0 + sigma eps is the noisy image, F the network, D the estimate of x0; a `Preconditioning` has the four functions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from typing_extensions import Unpack

from unetdiff.diffusers_config import preconditioning_from_scheduler
from unetdiff.errors import InputError
from unetdiff.nn.skip import Join, SkipScale, SkipSite
from unetdiff.preconditioning import Preconditioning, preconditioning_from_dict
from unetdiff.unet import UNet, UNetOutput
from unetdiff.walk import Fork, SkipCache
from unetdiff.weight_source import read_json

__all__ = ["Condition", "Denoiser", "Prediction", "read_preconditioning"]

Factor = Tensor | float


class Condition(TypedDict, total=False):
    """What a network may be conditioned on beside the noise level; shapes as `UNet.forward` says."""

    encoder_hidden_states: Tensor | None
    encoder_attention_mask: Tensor | None
    class_labels: Tensor | None
    timestep_cond: Tensor | None
    vector: Tensor | None
    augment_labels: Tensor | None
    added_cond_kwargs: Mapping[str, Tensor] | None
    concat: Tensor | None
    down_block_additional_residuals: Sequence[Tensor] | None
    mid_block_additional_residual: Tensor | None
    skip_scale: SkipScale | None
    skip_site: SkipSite
    join: Join | None
    skip_cache: SkipCache | None
    fork: Callable[[Fork], None] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """One call of the network: the clean image, the output F that it is made of, the feature maps that were captured.

    Image and output are (N, C, H, W) in the precision of the noisy image; maps have that of the network, by tap.
    """

    denoised: Tensor
    F: Tensor
    features: Mapping[str, Tensor]


class Denoiser(nn.Module):
    """`denoiser(x, sigma, ...) -> x0`; bind conditioning with `functools.partial` to get the samplers' contract."""

    def __init__(self, unet: UNet, preconditioning: Preconditioning) -> None:
        super().__init__()
        self.unet = unet
        self.preconditioning = preconditioning

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> "Denoiser":  # noqa: ANN401  # as UNet takes them
        """Load a model folder of ours, or the U-Net of a diffusers pipeline with what its scheduler says of it.

        Args:
            source: the folder, or a repository of the hub that holds a pipeline: `unet/` and `scheduler/`.
            **options: as `UNet.from_pretrained` takes them.

        Raises:
            InputError: as `UNet.from_pretrained`; or a scheduler that is not covered, whose field the message names.
        """
        preconditioning = read_preconditioning(source)
        return cls(UNet.from_pretrained(source, subfolder="unet", **options), preconditioning)

    def forward(self, x: Tensor, sigma: Tensor | float, **condition: Unpack[Condition]) -> Tensor:
        """Estimate the clean image.

        Args:
            x: (N, C, H, W), with noise of standard deviation `sigma`.
            sigma: the noise level, one number or (N,), above zero.
            **condition: as `UNet.forward` takes it.

        Returns:
            (N, C, H, W) in the precision of `x`, whatever the network's.
        """
        c_skip, c_out, c_in, c_noise = _scalings(self.preconditioning, sigma, x)
        (F,) = self.unet((c_in * x).to(self.unet.dtype), c_noise, return_dict=False, **condition)
        denoised: Tensor = c_skip * x + c_out * _mean(F, x)
        return denoised

    def predict(
        self, x: Tensor, sigma: Tensor | float, capture: Sequence[str] = (), **condition: Unpack[Condition]
    ) -> Prediction:
        """The same estimate, with what the network said on the way to it.

        Args:
            x: as above.
            sigma: as above.
            capture: names of taps, see `UNet.forward`.
            **condition: as above.
        """
        c_skip, c_out, c_in, c_noise = _scalings(self.preconditioning, sigma, x)
        out: UNetOutput = self.unet((c_in * x).to(self.unet.dtype), c_noise, capture=capture, **condition)
        assert out.sample is not None
        F = _mean(out.sample, x)
        return Prediction(denoised=c_skip * x + c_out * F, F=F, features=out.features or {})

    def output(self, x: Tensor, sigma: Tensor | float, **condition: Unpack[Condition]) -> Tensor:
        """What the network itself says, F(c_in x, c_noise); arguments are those of `forward`."""
        return self.predict(x, sigma, **condition).F

    def target(self, x: Tensor, sigma: Tensor | float, images: Tensor) -> Tensor:
        """The output at which the estimate would be these clean images: (x0 - c_skip x) / c_out."""
        c_skip, c_out, _, _ = _scalings(self.preconditioning, sigma, x)
        return (images - c_skip * x) / c_out


def read_preconditioning(source: str | Path) -> Preconditioning:
    """What a model folder of ours or a pipeline of diffusers, in a folder or on the hub, says of its network.

    Raises:
        InputError: a file that is missing or damaged, or a scheduler that is not covered.
    """
    own, scheduler = (Path(source) / name for name in ("denoiser.json", "scheduler/scheduler_config.json"))
    try:
        if own.is_file():
            return preconditioning_from_dict(read_json(own).get("preconditioning", {}))
        if scheduler.is_file():
            return preconditioning_from_dict(preconditioning_from_scheduler(read_json(scheduler)))
        # of the hub; the class does not matter, only the file is read
        facts = DDPMScheduler.load_config(source, subfolder="scheduler")
        return preconditioning_from_dict(preconditioning_from_scheduler(facts))
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: {error}") from error


def _mean(output: Tensor, x: Tensor) -> Tensor:
    """The network's output in the precision of x, without the channels of a learned variance."""
    return output[:, : x.shape[1]].to(x.dtype)


def _scalings(p: Preconditioning, sigma: Tensor | float, x: Tensor) -> tuple[Factor, Factor, Factor, Tensor]:
    """c_skip, c_out, c_in as factors on images like x; c_noise on x's device."""
    if isinstance(sigma, Tensor):
        sigma = sigma.to(x.device, torch.promote_types(x.dtype, torch.float32))
        c_skip, c_out, c_in = (c(sigma).to(x.dtype).reshape(-1, 1, 1, 1) for c in (p.c_skip, p.c_out, p.c_in))
        return c_skip, c_out, c_in, p.c_noise(sigma)
    return p.c_skip(sigma), p.c_out(sigma), p.c_in(sigma), torch.full((), p.c_noise(sigma), device=x.device)
