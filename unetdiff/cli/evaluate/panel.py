"""The judges that can say something of images, and why the others cannot."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from unetdiff.cli.evaluate.denoising import DenoisingJudge
from unetdiff.cli.evaluate.options import JudgeOptions
from unetdiff.cli.evaluate.real_images import RealImages
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.errors import InputError
from unetdiff.evaluation import efficientnet
from unetdiff.evaluation.classifier import load_classifier
from unetdiff.evaluation.feature_networks import CLASSIFIER, load_features
from unetdiff.evaluation.feature_space import FeatureSpace
from unetdiff.evaluation.judges.classes import ClassJudge
from unetdiff.evaluation.judges.compared import Compared
from unetdiff.evaluation.judges.copies import CopyJudge
from unetdiff.evaluation.judges.distances import DistanceJudge
from unetdiff.evaluation.judges.judge import Judge
from unetdiff.evaluation.judges.manifolds import ManifoldJudge
from unetdiff.plain import require

__all__ = ["Panel"]

LEAST = 3


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Judges are added one kind after the other; `notes` say what is not measured."""

    options: JudgeOptions
    device: torch.device
    judges: list[Judge] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_features(self, real: RealImages, count: int, folder: Path) -> str:
        """Those of distances and manifolds, for `count` images; gives the name of the space.

        Raises:
            InputError: a network that is not there.
            ValueError: too few images.
        """
        options = self.options
        least = min(count, len(real.reference), len(real.floor))
        require(count >= LEAST, "n", f"at least {LEAST} images", count)
        require(options.k < least, "k", f"less than the number of images, {least}", options.k)
        grey = real.training.images.shape[1] == 1
        name = options.features or (CLASSIFIER if grey else efficientnet.NARROW)
        network = load_features(name, self.device, options.classifier)
        space = FeatureSpace(name=name, network=network, folder=folder)
        compared = Compared(space=space, reference=real.reference, floor=real.floor)
        resampling = options.resampling
        self.judges.append(DistanceJudge(compared=compared, resampling=resampling, subsets=options.kernel_subsets))
        self.judges.append(ManifoldJudge(compared=compared, resampling=resampling, k=options.k))
        return name

    def add_copies(self, real: RealImages) -> None:
        """That of copies of training images."""
        judge = CopyJudge(
            training=real.training,
            held_out=real.held_out,
            resampling=self.options.resampling,
            device=self.device,
        )
        self.judges.append(judge)

    def add_classes(self, shown: Sequence[str | None], channels: int, real: RealImages | None) -> None:
        """That of classes, if the classifier knows those of the images.

        Raises:
            InputError: a classifier was chosen that does not.
        """
        classifier, stated = load_classifier(self.options.classifier)
        known, got = classifier.config.classes, list(dict.fromkeys(name or "none" for name in shown))
        problem = None
        if not set(got) <= set(known):
            problem = f"model: expected the classifier's classes {', '.join(known)}, got {', '.join(got[:10])}"
        elif channels != classifier.config.in_channels:
            problem = f"model: expected {classifier.config.in_channels} channels, got {channels}"
        if problem is None:
            test = None if real is None else real.test
            fits = test is not None and test.labels is not None and test.classes == known
            judge = ClassJudge(
                classifier=classifier,
                stated_accuracy=stated,
                test=test if fits else None,
                resampling=self.options.resampling,
            )
            self.judges.append(judge)
        elif self.options.classifier is not None and self.options.features != CLASSIFIER:
            raise InputError(problem)
        else:
            self.notes.append("right class: the images do not show the classes of a classifier that is known")

    def add_denoising(self, model: LoadedModel, real: RealImages, batch_size: int) -> None:
        """That of the denoising loss, if the data have what the model is told."""
        least, greatest = model.info.preconditioning.sigma_range
        try:
            if model.concat is not None or model.vector_channels is not None:
                raise InputError("a model that is told more than classes or captions")
            if real.held_out is None:
                raise InputError("no image is known to be held out of the training, the data have no test part")
            sigmas = [sigma for sigma in self.options.levels if least <= sigma <= greatest]
            if not sigmas:
                raise InputError(f"no noise level of --sigmas is in the model's range, {least:g} to {greatest:g}")
            judge = DenoisingJudge(
                model=model,
                held_out=real.held_out,
                floor=real.floor,
                sigmas=sigmas,
                count=self.options.held_out,
                batch_size=batch_size,
                resampling=self.options.resampling,
            )
        except InputError as error:
            self.notes.append(f"denoising loss: {error}")
            return
        self.judges.append(judge)
