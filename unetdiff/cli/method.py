"""A recipe for one model, as the objects of `samplers`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import samplers
from unetdiff.cli.loaded_model import Condition, LoadedModel
from unetdiff.cli.recipe import Recipe, StartOptions
from unetdiff.errors import InputError, user_input
from unetdiff.pictures import from_uint8, read_pixels

__all__ = ["Method"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """How noise becomes an image; see `Method.of`."""

    recipe: Recipe
    model: LoadedModel
    sampler: samplers.Sampler[Any]
    sigmas: Tensor
    guidance: samplers.Guidance
    network: Callable[..., Tensor]
    guide: LoadedModel | None = None
    known: Tensor | None = None
    """Inpainting's mask: 1 where an image stays as it is."""

    @classmethod
    def of(cls, recipe: Recipe, model: LoadedModel, guide: LoadedModel | None = None) -> "Method":
        """Build it.

        Raises:
            InputError: options that do not fit each other or the model.
        """
        _check_fit(recipe, model, guide)
        with user_input():
            falling = recipe.start.rest(recipe.levels.falling(model.info.preconditioning))
            return cls(
                recipe=recipe,
                model=model,
                sampler=recipe.sampler.make(),
                sigmas=samplers.with_restarts(falling, recipe.levels.restarts),
                guidance=recipe.guidance.make(),
                network=recipe.skips.tuned(model.denoiser),
                guide=guide,
                known=None if recipe.start.mask is None else _known(recipe.start.mask, model),
            )

    @classmethod
    def chosen(
        cls, recipe: Recipe, model: LoadedModel, text_encoder: str | None = None, codec: str | None = None
    ) -> "Method":
        """Of a recipe as a command has it: the guide is loaded, and what was left open resolved for the model.

        Raises:
            InputError: as `of`; or a guide that is missing or damaged.
        """
        name = recipe.guidance.guide
        guide = None if name is None else LoadedModel.load(name, model.device, text_encoder, codec)
        with user_input():
            resolved = recipe.resolved(model)
        return cls.of(resolved, model, guide)

    @cached_property
    def calls(self) -> int:
        """Network calls that an image takes, counted on a run of nothing; where guidance acts, there are two."""
        calls, nothing = 0, torch.zeros(1, 1)

        def network(x: Tensor, sigma: Tensor | float) -> Tensor:
            nonlocal calls
            calls += 1
            return x

        counted = samplers.guided(network, network, self.guidance)
        churn = self.recipe.levels.churn
        samplers.sample(counted, nothing, self.sigmas, self.sampler, noise=lambda: nothing, churn=churn)
        return calls

    def told(self, pictures: Tensor | None) -> Condition:
        """What is concatenated to the noisy images, if anything."""
        if self.model.concat is None or pictures is None:
            return {}
        mask = None if self.known is None else 1 - self.known
        return {"concat": self.model.concat.told(pictures, mask)}

    def bound(self, condition: Condition, null_condition: Condition, images: Tensor | None) -> samplers.Denoise:
        """The denoiser with its conditions, guidance, thresholding, and for inpainting the known `images`."""
        network = self.recipe.cache.cached(self.network)  # what it remembers is of this run
        main: samplers.Denoise = partial(network, **condition)
        if self.guide is not None:
            main = samplers.guided(main, partial(self.guide.denoiser, **condition), self.guidance)
        elif self.recipe.guidance.guides:
            main = samplers.guided_in_one_call(network, condition, null_condition, self.guidance)
        denoise = self.recipe.guidance.in_range(main, self.model.info.data.value_range)
        if self.known is None or images is None:
            return denoise
        return samplers.inpainted(denoise, images, self.known)


def _check_fit(recipe: Recipe, model: LoadedModel, guide: LoadedModel | None) -> None:
    _check_concat(recipe.start, model)
    guidance = recipe.guidance
    if guidance.guides and guide is None and not model.conditional:
        raise InputError(f"guidance: 1 expected for a model without classes and text, got {guidance.guidance}")
    if guidance.negative_prompt is not None and (model.text is None or guide is not None):
        raise InputError("negative_prompt: a model with text and no --guide expected")
    if guidance.threshold is not None and model.codec is not None:
        raise InputError("threshold: a model of pixels expected, got one of latents, which have no range")
    if guide is None:
        return
    own, other = ((m.classes, m.info.data.shape, m.text is None, m.info.concat) for m in (model, guide))
    if own != other:
        raise InputError(f"guide: a model of the same classes and shape {own[1]} expected, got {guide.folder}")


def _check_concat(start: StartOptions, model: LoadedModel) -> None:
    """Refuse pictures that are missing, or that the network cannot be told."""
    concat, channels = model.concat, model.denoiser.unet.config.concat_channels
    if concat is None:
        if channels:
            raise InputError(f"{model.folder}: `concat` in denoiser.json expected for {channels} channels, got none")
        if start.concat is not None:
            raise InputError(f"concat: a model of super-resolution or inpainting expected, got {model.folder}")
        return
    if start.concat is None:
        raise InputError(f"concat: a picture expected for {model.folder}, got none")
    if concat.takes_mask != (start.mask is not None):
        expected = "a picture of what to paint" if concat.takes_mask else "nothing for super-resolution"
        raise InputError(f"mask: {expected} expected, got {start.mask}")


def _known(path: str, model: LoadedModel) -> Tensor:
    """(1, H, W) of the network's images."""
    white = from_uint8(read_pixels(path, 1, model.picture_size), (0.0, 1.0))
    white = F.interpolate(white[None], size=model.info.data.shape[1:], mode="nearest-exact")[0]
    return (1 - white).to(model.device)
