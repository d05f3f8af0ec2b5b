"""`unetdiff classify`: a class-conditional model as a classifier of images (Li et al. 2023)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import jsonargparse
import numpy as np
import torch
from tqdm import tqdm

from unetdiff.cli.data_options import add_data_options, data_config
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.recipe.number_list import read_numbers
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.data import PackedDataset, prepare
from unetdiff.data.config import Split
from unetdiff.errors import InputError, user_input
from unetdiff.evaluation.classifications import Accuracy, Classifications, Decision
from unetdiff.evaluation.diffusion_classifier import DiffusionClassifier, Likelihood, NoiseLevels, Rounds
from unetdiff.features.network_images import NetworkImages, framed
from unetdiff.losses import LogNormalObjective
from unetdiff.model_info import JSON
from unetdiff.plain import require
from unetdiff.preconditioning import Preconditioning

__all__ = ["ClassifyOptions", "parser", "run"]

WRITTEN_EVERY = 20
"""Images."""


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions:
    """How images are classified.

    Attributes:
        split: The part of the images.
        images: How many of them, taken at random; all when left out.
        draws: Noises that every class has been measured with after each round, such as 20,100.
        keep: Classes that go on after each round, such as 5,1.
        loss: epsilon is the likelihood's, with log sigma uniform; edm that of EDM's training, with its noise levels.
        levels: Least and greatest noise level of the epsilon loss, such as 0.05,5; the model's range when left out.
        seed: Image i of the data has the noise of `seed` + i.
        batch_size: Images, noises and classes at a time.
        out: Folder for the decisions; what is there is not made again.
    """

    split: Split = "test"
    images: int | None = None
    draws: str = "20,100"
    keep: str = "5,1"
    loss: Literal["epsilon", "edm"] = "epsilon"
    levels: str | None = None
    seed: int = 0
    batch_size: int = 100
    out: Path = Path("classified")

    def __post_init__(self) -> None:
        require(self.images is None or self.images >= 1, "images", "at least 1", self.images)
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        require(self.seed >= 0, "seed", "0 or more", self.seed)
        require(self.loss == "epsilon" or self.levels is None, "levels", "none with loss edm", self.levels)
        _ = self.rounds

    @cached_property
    def rounds(self) -> Rounds:
        """`draws` and `keep` as numbers."""
        return Rounds(draws=_whole(self.draws, "draws"), keep=_whole(self.keep, "keep"))

    def noise_levels(self, preconditioning: Preconditioning) -> NoiseLevels:
        """Of a model."""
        if self.loss == "edm":
            return LogNormalObjective(prediction=preconditioning)
        expected = "the least and the greatest, such as 0.05,5"
        chosen = None if self.levels is None else read_numbers(self.levels, "levels", expected, count=2)
        least, greatest = chosen or preconditioning.sigma_range
        return Likelihood(least=least, greatest=greatest)

    def settings(self, model: LoadedModel, data: PackedDataset) -> dict[str, JSON]:
        """What a decision depends on."""
        chosen = {name: getattr(self, name) for name in ("draws", "keep", "loss", "levels", "seed")}
        return {"weights": model.weights, "data": data.fingerprint, **chosen}


def parser() -> jsonargparse.ArgumentParser:
    """Build the options."""
    result = jsonargparse.ArgumentParser(
        description="Find the class of images: the one that a model is told when it denoises them best.",
        usage="%(prog)s [model] data [options]",
    )
    result.add_argument("model", nargs="?", help="model folder or run folder; without it the shipped model")
    result.add_argument("data", help="images, as `unetdiff data pack` takes them")
    result.add_class_arguments(ClassifyOptions)
    add_data_options(result)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Classify what is not classified yet, print how much of it is right."""
    options, data, model, levels = _given(args)
    images = NetworkImages(data=data, info=model.info.data, codec=model.codec, device=model.device)
    classifier = DiffusionClassifier(
        denoise=model.denoiser,
        classes=len(model.classes),
        levels=levels,
        rounds=options.rounds,
        batch_size=options.batch_size,
    )
    record = Classifications(folder=options.out, settings=options.settings(model, data), classes=model.classes)
    labels = _labels(data, model.classes)
    wanted = np.random.default_rng(0).permutation(len(data))[: options.images].tolist()
    decisions = {decision.image: decision for decision in record.begin()}
    missing = [image for image in wanted if image not in decisions]
    started = time.perf_counter()
    for count, image in enumerate(tqdm(missing, unit=" images", disable=None), 1):
        (pixels,) = images(np.array([image]))
        found = classifier(pixels, options.seed + image)
        name, losses = model.classes[found.predicted], tuple(found.losses.tolist())
        decisions[image] = Decision(image, labels[image], name, losses)
        if count % WRITTEN_EVERY == 0 or count == len(missing):
            record.write(decisions.values())
    _report([decisions[image] for image in wanted], len(missing), time.perf_counter() - started)
    print(options.out)


def _given(args: jsonargparse.Namespace) -> tuple[ClassifyOptions, PackedDataset, LoadedModel, NoiseLevels]:
    with user_input():
        chosen = parser().instantiate(args)
        options = options_from(ClassifyOptions, chosen)
        model = LoadedModel.load(args.model, "cuda" if torch.cuda.is_available() else "cpu")
        _require_classes(model)
        source = replace(data_config(args.data, chosen), split=options.split)
        data = prepare(framed(source, model.picture_size, model.picture_channels))
        return options, data, model, options.noise_levels(model.info.preconditioning)


def _require_classes(model: LoadedModel) -> None:
    if not model.classes:
        raise InputError(f"model: expected one that is told classes, got {model.folder}, which is not")
    if model.text is not None or model.vector_channels is not None or model.concat is not None:
        raise InputError(f"model: expected one that is told classes alone, got {model.folder}, which is told more")


def _labels(data: PackedDataset, classes: Sequence[str]) -> list[str]:
    """Names of the images' classes; empty where the data's classes are not among the model's."""
    if data.labels is None or not set(data.classes) <= set(classes):
        return [""] * len(data)
    return [data.classes[label] for label in data.labels]


def _report(decisions: Sequence[Decision], made: int, seconds: float) -> None:
    print(f"{made} of {len(decisions)} images classified in {seconds:.1f} s")
    accuracy = Accuracy.of(decisions)
    if accuracy is None:
        print("no accuracy: the images have no labels among the model's classes")
    else:
        print(f"accuracy {accuracy.value:.4f} +- {accuracy.standard_error:.4f}")


def _whole(text: str, field: str) -> tuple[int, ...]:
    numbers = read_numbers(text, field, "whole numbers with commas between")
    require(all(number.is_integer() for number in numbers), field, "whole numbers with commas between", text)
    return tuple(map(int, numbers))
