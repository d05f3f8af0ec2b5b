"""A network to start a training from: found and described by its JSON files, then loaded."""

from dataclasses import dataclass
from pathlib import Path

import torch

from unetdiff.config import UNetConfig
from unetdiff.denoiser import read_preconditioning
from unetdiff.diffusers_config import read_config
from unetdiff.errors import InputError
from unetdiff.model_folder import find_model, named
from unetdiff.preconditioning import Preconditioning
from unetdiff.unet import UNet
from unetdiff.weight_source import find_network, read_json, refusal

__all__ = ["Pretrained"]

LEVELS = 64


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """`preconditioning` is what the network was trained with; None where a bare U-Net folder does not say it."""

    source: str
    where: str | Path
    config: UNetConfig
    preconditioning: Preconditioning | None

    @classmethod
    def find(cls, source: str) -> "Pretrained":
        """Read what it is, without its weights.

        Args:
            source: a model or run folder, the name of the shipped model, the folder of a diffusers pipeline or of its
                U-Net, or a pipeline of the hub.

        Raises:
            InputError: no such thing, or a network that is not covered.
        """
        where = find_model(source) if named(source).is_dir() else source
        folder = find_network(where)
        try:
            if folder is None:
                config = read_config(UNet.load_config(where, subfolder="unet"))
            else:
                config = read_config(read_json(folder / "config.json"))
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise refusal(source, error) from error
        bare = folder is not None and folder == where
        return cls(
            source=source,
            where=where if folder is None else folder,
            config=config,
            preconditioning=None if bare else read_preconditioning(where),
        )

    def load(self) -> UNet:
        """The network in float32.

        Raises:
            InputError: weights that are missing, damaged or do not fit.
        """
        place = {"subfolder": "unet"} if isinstance(self.where, str) else {}
        unet: UNet = UNet.from_pretrained(self.where, torch_dtype=torch.float32, **place)
        return unet

    def require_preconditioning(self, other: Preconditioning) -> None:
        """Refuse to go on with another one: what the network predicts would mean something else.

        Raises:
            InputError: the four functions of sigma differ where both are used.
        """
        own = self.preconditioning
        if own is not None and not _same_functions(own, other):
            raise InputError(f"objective: expected the preconditioning of {self.source}, {own}, got {other}")


def _same_functions(first: Preconditioning, second: Preconditioning) -> bool:
    """Whether a network cannot tell them apart: at noise levels of both, in double precision."""
    (low, high), (other_low, other_high) = first.sigma_range, second.sigma_range
    low, high = max(low, other_low), min(high, other_high)
    if low >= high:
        return False
    sigma = torch.linspace(low**0.1, high**0.1, LEVELS, dtype=torch.float64) ** 10
    return all(
        torch.allclose(getattr(first, name)(sigma), getattr(second, name)(sigma))
        for name in ("c_skip", "c_out", "c_in", "c_noise")
    )
