"""Between pictures and the latents that a network of a diffusers pipeline sees (Rombach et al. 2022, section 3.1).

    z = latents std / scaling_factor + mean,    images = decoder(z)

z is what the autoencoder speaks; the latents are z brought to a standard deviation near 1. Every autoencoder has a
scaling factor; some also have a mean (Stable Diffusion 3: `shift_factor`), or a mean and a standard deviation of each
channel (Playground 2.5: `latents_mean`, `latents_std`). https://arxiv.org/abs/2112.10752
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unetdiff.errors import InputError
from unetdiff.frozen import load_frozen
from unetdiff.plain import require
from unetdiff.weight_source import read_json, require_weights

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

__all__ = ["Codec", "load_codec", "open_codec"]


@dataclass(frozen=True, kw_only=True)
class Codec:
    """An autoencoder with the normalisation of its latents, (1, C, 1, 1) each; gradients reach its inputs alone."""

    model: "AutoencoderKL"
    mean: Tensor
    std: Tensor

    @property
    def factor(self) -> int:
        """Pixels along an edge of a latent pixel."""
        return int(2 ** (len(self.model.config.block_out_channels) - 1))

    @property
    def channels(self) -> int:
        """Of the latents."""
        return int(self.model.config.latent_channels)

    def decode(self, latents: Tensor) -> Tensor:
        """From latents (N, channels, h, w) to images (N, 3, factor h, factor w) in [-1, 1]."""
        _require_channels("latents", latents, self.channels)
        z = latents.to(self.mean) * self.std / self.model.config.scaling_factor + self.mean
        images: Tensor = self.model.decode(z).sample
        return images.clamp(-1, 1)

    def encode(self, images: Tensor, generator: torch.Generator | Sequence[torch.Generator] | None = None) -> Tensor:
        """From images (N, 3, H, W) in [-1, 1] to latents (N, channels, H / factor, W / factor).

        Args:
            images: height and width are multiples of `factor`.
            generator: draws from the encoder's distribution, one for all images or one for each; its mode without.
        """
        posterior = self._posterior(images)
        draws = generator if generator is None or isinstance(generator, torch.Generator) else list(generator)
        return self._normalised(posterior.mode() if draws is None else posterior.sample(draws))

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents of images, as `encode` takes them."""
        posterior = self._posterior(images)
        return self._normalised(posterior.mean), posterior.std * self.model.config.scaling_factor / self.std

    def _posterior(self, images: Tensor) -> "DiagonalGaussianDistribution":
        _require_channels("images", images, self.model.config.in_channels)
        whole = all(size % self.factor == 0 for size in images.shape[2:])
        require(whole, "images", f"multiples of {self.factor} pixels", tuple(images.shape[2:]))
        return self.model.encode(images.to(self.mean)).latent_dist

    def _normalised(self, z: Tensor) -> Tensor:
        latents: Tensor = (z - self.mean) * self.model.config.scaling_factor / self.std
        return latents


def load_codec(folder: Path, device: torch.device | str = "cpu", *, tiled: bool = False) -> Codec | None:
    """The autoencoder of a diffusers pipeline, in float32: that of SDXL overflows in half precision.

    Args:
        folder: the pipeline's; the autoencoder is in `vae/`.
        device: where it runs; what it is given comes there.
        tiled: work on pictures above the size that it was trained on in overlapping tiles of that size, for memory.

    Returns:
        None where there is no `vae/`: the network sees pixels.

    Raises:
        InputError: an autoencoder of another class, or a file that is missing or damaged.
    """
    place = folder / "vae"
    return open_codec(place, device, tiled=tiled) if place.is_dir() else None


def open_codec(place: Path, device: torch.device | str = "cpu", *, tiled: bool = False) -> Codec:
    """The autoencoder in a folder of its own; see `load_codec`."""
    config = read_json(place / "config.json")
    if config.get("_class_name") != "AutoencoderKL":
        raise InputError(f"{place}: the class AutoencoderKL expected, got {config.get('_class_name')}")
    require_weights(place)
    from diffusers import AutoencoderKL  # a second of imports, for models of latents alone

    model = load_frozen(AutoencoderKL, place).to(device)
    if tiled:
        model.enable_tiling()
    mean, std = _normalisation(model.config)
    return Codec(model=model, mean=mean.to(device), std=std.to(device))


def _normalisation(config: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of z, (1, C, 1, 1) or (1, 1, 1, 1); without those of the channels a shift of all."""
    mean, std = config["latents_mean"], config["latents_std"]
    if mean is None or std is None:
        mean, std = config["shift_factor"] or 0.0, 1.0
    mean, std = (torch.tensor(value, dtype=torch.float32).reshape(1, -1, 1, 1) for value in (mean, std))
    return mean, std


def _require_channels(name: str, x: Tensor, channels: int) -> None:
    require(x.ndim == 4 and x.shape[1] == channels, name, f"(N, {channels}, H, W)", tuple(x.shape))
