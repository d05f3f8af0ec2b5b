"""How far generated images are from real ones, for networks of the classes that a classifier knows.

All networks start from the same noise, so that their distances differ by what they do alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import samplers
from unetdiff.cli.compress.options import JudgeOptions
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.data import MissingSplitError
from unetdiff.denoiser import Denoiser
from unetdiff.evaluation.classifier import load_classifier
from unetdiff.evaluation.distances import Estimate, FrechetDistance, KernelDistance
from unetdiff.evaluation.generated import FeatureMaker, kept, module_hash

__all__ = ["Distances", "Measured", "fitting", "judged"]

REAL = "real"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number and its standard error."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, estimate: Estimate) -> "Measured":
        """As plain numbers."""
        return cls(value=estimate.value, standard_error=estimate.standard_error)


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Of a set of images to the real ones of the test part."""

    frechet: Measured
    kernel: Measured


def fitting(model: LoadedModel, source: str, options: JudgeOptions) -> FeatureMaker | None:
    """What distances are measured with; None for a model of other images, or where there are none for a test.

    Raises:
        InputError: images that are not the model's.
    """
    folder = None if options.classifier is None else Path(options.classifier)
    classifier, _ = load_classifier(folder)
    seen = classifier.config.classes, classifier.config.in_channels
    if model.text or model.codec or seen != (model.info.data.classes, model.info.data.channels):
        return None
    maker = FeatureMaker(denoiser=model.denoiser, info=model.info, classifier=classifier.to(model.device))
    try:
        maker.real_data("test", source)
    except MissingSplitError:
        return None
    return maker


def judged(
    maker: FeatureMaker, networks: Mapping[str, Denoiser], source: str, options: JudgeOptions, folder: Path
) -> dict[str, Distances]:
    """Distances of the images of each network, and of as many real ones of training; features are kept in `folder`."""
    reference = maker.real("test", source, folder)
    frechet, kernel = FrechetDistance(reference), KernelDistance(reference)
    sigmas = samplers.karras(options.steps, *maker.info.preconditioning.sigma_range)
    features = {}
    for name, denoiser in networks.items():
        generated = partial(maker.generated, denoiser, samplers.Heun(), sigmas)
        path = folder / f"{name}-{module_hash(denoiser.unet)[:16]}.npy"
        features[name] = kept(path, options.images, generated)
    features[REAL] = maker.real("train", source, folder, options.images)
    return {
        name: Distances(frechet=Measured.of(frechet(rows)), kernel=Measured.of(kernel(rows)))
        for name, rows in features.items()
    }
