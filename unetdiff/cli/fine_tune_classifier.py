"""`unetdiff fine-tune-classifier`: a classifier made of a diffusion network and a head on one of its feature maps.

It is beside `unetdiff train-classifier`, and not an option of `unetdiff probe`: it takes a model and images and gives a
network, where a probe takes stored features, which stand still, and gives a table.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import jsonargparse
import numpy as np

from unetdiff.cli.data_options import add_data_options, data_config
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.data import PackedDataset, prepare
from unetdiff.data.config import Split
from unetdiff.errors import InputError, user_input
from unetdiff.features.network_images import NetworkImages, framed
from unetdiff.features.noise_level import noise_level
from unetdiff.plain import require, to_plain
from unetdiff.probes.fine_tuning import (
    ClassifierConfig,
    FineTuning,
    LabelledImages,
    UNetClassifier,
    fine_tune,
    save_classifier,
)
from unetdiff.probes.fitting import Training, accuracy_on, seeded
from unetdiff.probes.networks import HEADS
from unetdiff.probes.rows import compute_device
from unetdiff.probes.task import Task, held_out_rows

__all__ = ["ClassifierOptions", "parser", "run"]


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions:
    """The classifier.

    Attributes:
        tap: The feature map that the head reads; `unetdiff features` says which there are.
        sigma: Noise level: sigma (0.2), log-SNR (logsnr:1.5) or timestep (t:150).
        head: What reads the feature map.
        input: Noisy images, or clean ones with the network told the noise level.
        flip: Mirror half of the images in training.
        held_out: Part of the training images that the epoch is chosen with.
        codec: Folder of the autoencoder, if it is not where it was in training.
        out: Folder for the classifier.
    """

    out: Path
    tap: str
    sigma: str = "0.06"
    head: Literal["mlp", "cnn", "attention"] = "mlp"
    input: Literal["noisy", "clean"] = "noisy"
    flip: bool = False
    held_out: float = 0.1
    codec: str | None = None

    def __post_init__(self) -> None:
        require(0 < self.held_out < 1, "held_out", "a number between 0 and 1", self.held_out)


def parser() -> jsonargparse.ArgumentParser:
    """Build the options."""
    result = jsonargparse.ArgumentParser(
        description="Train a U-Net and a head on one of its feature maps to tell classes; measure on the test split.",
        usage="%(prog)s [model] data --tap NAME --out FOLDER [options]",
    )
    result.add_argument("model", nargs="?", help="model or run folder; without it the shipped model")
    result.add_argument("data", help="images with labels, as `unetdiff data pack` takes them")
    result.add_class_arguments(ClassifierOptions)
    result.add_class_arguments(FineTuning, skip={"training"})
    result.add_class_arguments(Training)
    add_data_options(result)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Train, measure, save."""
    with user_input():
        chosen = parser().instantiate(args)
        data = data_config(args.data, chosen)
        options = options_from(ClassifierOptions, chosen)
        training = options_from(Training, chosen)
        tuning = FineTuning(training=training, unet_rate=chosen.unet_rate, freeze=chosen.freeze)
    model = LoadedModel.load(args.model, compute_device(), codec=options.codec)
    wanted = framed(data, model.picture_size, model.picture_channels)
    train, test = (_labelled(prepare(replace(wanted, split=split))) for split in get_args(Split))
    with seeded(training.seed):
        classifier = _classifier(options, model, train.classes)
    learned, judged = (
        _examples(images, classifier.config, options.flip, training.seed, model) for images in (train, test)
    )
    held_out = held_out_rows(learned.labels, options.held_out, training.seed)
    task = Task(labels=learned.labels, classes=len(train.classes), held_out=held_out)
    course = fine_tune(classifier, learned, task, tuning)
    accuracy = accuracy_on(classifier, judged, np.arange(len(test)), training.batch)
    facts = {"test_accuracy": accuracy, "held_out_accuracy": course.validation, "epoch": course.epoch}
    save_classifier(options.out, classifier, model.info, {**facts, "training": to_plain(tuning)})
    print(
        f"{accuracy:.2%} of {len(test)} test images right, of epoch {course.epoch}, best on {len(held_out)} held-out "
        f"images ({course.validation:.2%}); saved to {options.out}"
    )


def _classifier(options: ClassifierOptions, model: LoadedModel, classes: tuple[str, ...]) -> UNetClassifier:
    """Not yet trained.

    Raises:
        InputError: a place or a noise level that the model has not, or a head that does not fit there.
    """
    with user_input():
        config = ClassifierConfig(
            classes=classes,
            tap=options.tap,
            sigma=noise_level(options.sigma, model.info.preconditioning),
            noisy=options.input == "noisy",
            head=HEADS[options.head](),
        )
        return UNetClassifier(model.denoiser, model.info.data.shape, config)


def _labelled(data: PackedDataset) -> PackedDataset:
    if data.labels is None:
        raise InputError(f"{data.folder}: expected images with labels, got none")
    return data


def _examples(
    data: PackedDataset, config: ClassifierConfig, flip: bool, seed: int, model: LoadedModel
) -> LabelledImages:
    assert data.labels is not None
    return LabelledImages(
        images=NetworkImages(data=data, info=model.info.data, codec=model.codec, device=model.device),
        labels=data.labels,
        sigma=config.sigma if config.noisy else 0.0,
        seed=seed,
        flip=flip,
    )
