"""A model of classes, judged by a classifier: the share of images that it gives the class asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch

from unetdiff.cli.evaluate.judge import Images
from unetdiff.cli.evaluate.options import ClassOptions, EvaluateOptions
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.data import DataConfig, prepare
from unetdiff.errors import InputError
from unetdiff.evaluation.classifier import Classifier, load_classifier
from unetdiff.evaluation.consistency import ClassConsistency, class_consistency, dataset_consistency
from unetdiff.model_info import JSON, ModelInfo
from unetdiff.plain import to_plain
from unetdiff.sample_identity import Sample, Subject

__all__ = ["ClassJudge", "ClassReport"]


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Share of images with the right class, overall and in the order of the classes."""

    overall: float
    per_class: tuple[float, ...]

    @classmethod
    def of(cls, consistency: ClassConsistency) -> "Shares":
        """As plain numbers."""
        return cls(overall=consistency.share, per_class=consistency.per_class)


@dataclass(frozen=True, kw_only=True)
class ClassReport:
    """What a classifier saw; its stated accuracy stands alone where there are no real images."""

    classes: tuple[str, ...]
    generated: Shares
    real: Shares | None
    stated_accuracy: float

    def facts(self) -> dict[str, JSON]:
        """See `Report`."""
        return to_plain(self)

    def text(self) -> str:
        """A row a class: generated images, then real ones."""
        width = max(map(len, self.classes))
        rows = [("all", self.generated.overall, self.real and self.real.overall)]
        for i, name in enumerate(self.classes):
            rows.append((name, self.generated.per_class[i], self.real and self.real.per_class[i]))
        lines = [f"{'right class':{width}}  generated" + ("" if self.real is None else "    real")]
        for name, generated, real in rows:
            lines.append(f"{name:{width}}  {generated:9.1%}" + ("" if real is None else f"  {real:6.1%}"))
        return "\n".join([*lines, f"the classifier's stated accuracy: {self.stated_accuracy:.1%}"])


@dataclass(frozen=True, kw_only=True)
class ClassJudge:
    """A classifier, the images it is to see, and what it says of real ones."""

    classifier: Classifier
    stated_accuracy: float
    wanted: Sequence[Sample]
    real: Shares | None

    @classmethod
    def of(cls, model: LoadedModel, options: EvaluateOptions, of_classes: ClassOptions) -> "ClassJudge":
        """For a model of the classifier's classes."""
        classifier, stated = load_classifier(of_classes.classifier)
        _check_fit(options, model.info, classifier)
        subjects = [Subject(kind="class", number=number, name=name) for number, name in enumerate(model.classes)]
        wanted = [Sample(seed=options.seed + i, subject=subjects[i % len(subjects)]) for i in range(options.n)]
        real = _on_real_images(options.data, classifier)
        return cls(classifier=classifier, stated_accuracy=stated, wanted=wanted, real=real)

    def report(self, images: Images) -> ClassReport:
        """See `Judge`."""
        judged = [
            class_consistency(
                pictures, torch.tensor([sample.subject.number for sample in batch if sample.subject]), self.classifier
            )
            for batch, pictures in images
        ]
        return ClassReport(
            classes=self.classifier.config.classes,
            generated=Shares.of(reduce(add, judged)),
            real=self.real,
            stated_accuracy=self.stated_accuracy,
        )


def _check_fit(options: EvaluateOptions, info: ModelInfo, classifier: Classifier) -> None:
    known, got = classifier.config.classes, info.data.classes
    if got != known:
        raise InputError(f"model: expected the classifier's classes {', '.join(known)}, got {', '.join(got) or 'none'}")
    if info.data.channels != classifier.config.in_channels:
        raise InputError(f"model: expected {classifier.config.in_channels} channels, got {info.data.channels}")
    if options.n < len(known):
        raise InputError(f"n: expected at least one image for each of {len(known)} classes, got {options.n}")


def _on_real_images(source: str, classifier: Classifier) -> Shares | None:
    """None where the real images are not on this machine."""
    try:
        data = prepare(DataConfig(source=source, split="test"))
    except InputError as error:
        print(f"no real images to compare with: {error}")
        return None
    return Shares.of(dataset_consistency(data, classifier))
