"""All that is needed to judge images, gathered and checked before the first of them is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from unetdiff.cli.evaluate.captions import caption_judge
from unetdiff.cli.evaluate.image_source import FoundImages, ImageSource, MadeImages
from unetdiff.cli.evaluate.options import CaptionOptions, ImageOptions, JudgeOptions
from unetdiff.cli.evaluate.panel import Panel
from unetdiff.cli.evaluate.real_images import RealImages
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.method import Method
from unetdiff.cli.recipe import Recipe
from unetdiff.cli.sample import settings
from unetdiff.data import DataConfig
from unetdiff.data.cache import cache_folder
from unetdiff.errors import InputError
from unetdiff.evaluation.generated import content_key
from unetdiff.features.network_images import framed
from unetdiff.model_info import JSON
from unetdiff.sample_identity import Sample, Subject

__all__ = ["Asked", "Evaluation", "named_model"]

KEPT = "evaluation"  # in the cache: features, and images of which nobody said where they should go


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user asked for; `usual` where no data were named, and it is the usual ones."""

    model: str | None
    data: DataConfig
    usual: bool
    images: ImageOptions
    judging: JudgeOptions
    captions: CaptionOptions
    recipe: Recipe

    @property
    def only_images(self) -> bool:
        """Whether images were named, and no model."""
        return self.images.images is not None and self.model is None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Where images come from, who judges them, and what else is to be told."""

    source: ImageSource
    panel: Panel
    facts: Mapping[str, JSON]

    @classmethod
    def of(cls, asked: Asked, model: LoadedModel | None, device: torch.device) -> "Evaluation":
        """Of a model, which `named_model` gave, of a folder of images, or of both.

        Raises:
            InputError: something that is missing or does not fit.
            ValueError: an option that does not fit the others.
        """
        config = asked.data
        if model is not None:
            config = framed(config, model.picture_size, model.picture_channels)
        panel = Panel(options=asked.judging, device=device)
        captions: Sequence[str] = ()
        if model is not None and model.text is not None and asked.images.images is None:
            judge = caption_judge(model, config, asked.captions, asked.images.count)
            panel.judges.append(judge)
            captions = judge.finder.captions
        real = _real(asked, config, model, panel)
        source = _source(asked, config, model, real, captions)
        facts: dict[str, JSON] = {"n": len(source.shown), "seed": asked.images.seed}
        if model is None or model.text is None:
            panel.add_classes(source.shown, source.channels, real)
        if real is not None:
            kept = cache_folder(config) / KEPT
            facts |= {"data": config.source, "reference": len(real.reference)}
            facts["features"] = panel.add_features(real, len(source.shown), kept)
            panel.add_copies(real)
        if real is not None and model is not None:
            panel.add_denoising(model, real, asked.images.batch_size)
        return cls(source=source, panel=panel, facts=facts)


def named_model(asked: Asked, device: torch.device) -> LoadedModel:
    """Ready to be judged, with its adapter.

    Raises:
        InputError: no such model, or one that images cannot be asked of.
    """
    model = LoadedModel.load(asked.model, device, asked.images.text_encoder, asked.images.codec)
    if model.vector_channels is not None and asked.images.images is None:
        raise InputError(f"model: expected one of classes, of texts or of neither, got {model.folder}, one of vectors")
    asked.recipe.adapter.apply(model.denoiser.unet)
    return model


def _real(asked: Asked, config: DataConfig, model: LoadedModel | None, panel: Panel) -> RealImages | None:
    """None where no data were named, and the usual ones are not on this machine."""
    try:
        real = RealImages.of(config, asked.judging.reference)
    except InputError as error:
        if not asked.usual:
            raise
        panel.notes.append(f"all but classes and captions, for want of real images: {error}")
        return None
    got = real.training.images.shape[1:]
    if model is not None and got != (model.picture_channels, *model.picture_size):
        expected = (model.picture_channels, *model.picture_size)
        raise InputError(f"data: expected images of the model's shape {expected}, got {got}")
    return real


def _source(
    asked: Asked, config: DataConfig, model: LoadedModel | None, real: RealImages | None, captions: Sequence[str]
) -> ImageSource:
    images = asked.images
    if images.images is not None:
        channels = config.channels if real is None else real.training.images.shape[1]
        source = FoundImages.of(images.images, images.n, replace(asked.data, channels=channels, size=None))
        if real is not None and source.found.images.shape != real.training.images.shape[1:]:
            expected, got = real.training.images.shape[1:], source.found.images.shape
            raise InputError(f"images: expected the shape of the data's images {expected}, got {got}")
        return source
    assert model is not None
    method = Method.chosen(asked.recipe, model, images.text_encoder, images.codec)
    out = images.samples or _kept_samples(config, method)
    wanted = _wanted(model, images, captions)
    return MadeImages(method=method, wanted=wanted, out=out, batch_size=images.batch_size, name=asked.model)


def _kept_samples(config: DataConfig, method: Method) -> Path:
    return cache_folder(config) / KEPT / f"samples-{content_key(settings(method))}"


def _wanted(model: LoadedModel, images: ImageOptions, captions: Sequence[str]) -> list[Sample]:
    """One image for each seed, the classes or captions in turn."""
    if images.count < len(model.classes) and model.text is None:
        count = len(model.classes)
        raise InputError(f"n: expected at least one image for each of {count} classes, got {images.count}")
    if model.text is None:
        subjects = [Subject(kind="class", number=number, name=name) for number, name in enumerate(model.classes)]
    else:
        subjects = [Subject(kind="prompt", number=number, name=caption) for number, caption in enumerate(captions)]
    turns: Sequence[Subject | None] = subjects or [None]
    return [Sample(seed=images.seed + i, subject=turns[i % len(turns)]) for i in range(images.count)]
