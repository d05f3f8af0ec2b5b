"""`unetdiff eval`: the share of a model's class-conditional images that a classifier gives the class asked for."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import reduce
from operator import add
from pathlib import Path

import jsonargparse
import torch

from unetdiff.atomic import replacing
from unetdiff.cli.generate import generate
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.method import Method
from unetdiff.cli.recipe import GuidanceOptions, LevelOptions, Recipe, SamplerOptions
from unetdiff.data import DataConfig, prepare
from unetdiff.errors import InputError
from unetdiff.evaluation.classifier import Classifier, load_classifier
from unetdiff.evaluation.consistency import ClassConsistency, class_consistency, dataset_consistency
from unetdiff.model_info import ModelInfo
from unetdiff.pictures import to_uint8
from unetdiff.sample_identity import Sample, Subject

__all__ = ["EvaluateOptions", "parser", "run"]


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """How images are made and judged.

    Attributes:
        n: Number of images, spread evenly over the classes.
        steps: Steps of the sampler on the Karras grid.
        sampler: One of those of `unetdiff sample`, with its usual options.
        guidance: Weight of classifier-free guidance; 1 is none.
        seed: Image i has the seed `seed` + i.
        batch_size: Images at a time.
        classifier: Folder of a classifier; the Fashion-MNIST classifier of this package when left out.
        data: Real images; the classifier is measured on their test split, if it is there.
        out: JSON file to write the report to.
    """

    n: int = 1000
    steps: int = 18
    sampler: str = "heun"
    guidance: float = 1.0
    seed: int = 0
    batch_size: int = 100
    classifier: Path | None = None
    data: str = "fashion-mnist"
    out: Path | None = None

    def __post_init__(self) -> None:
        for name in ("n", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise InputError(f"seed: expected 0 or more, got {self.seed}")


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Share of images with the right class, overall and in the order of the classes."""

    overall: float
    per_class: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was measured, and with which settings."""

    model: str
    n: int
    steps: int
    sampler: str
    guidance: float
    seed: int
    network_calls_per_image: int
    seconds: float
    classes: tuple[str, ...]
    generated: Shares
    real: Shares | None
    stated_accuracy: float


def parser() -> jsonargparse.ArgumentParser:
    """Build the options of the command from the fields of `EvaluateOptions`."""
    result = jsonargparse.ArgumentParser(description="Measure how often a model's images show the class asked for.")
    result.add_argument("model", nargs="?", help="model folder or run folder; without it the shipped model")
    result.add_class_arguments(EvaluateOptions)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Make images, classify them, report the shares beside the classifier's own on real images."""
    options = EvaluateOptions(**{entry.name: args[entry.name] for entry in fields(EvaluateOptions)})
    recipe = _recipe(options)
    model = LoadedModel.load(args.model, "cuda" if torch.cuda.is_available() else "cpu")
    classifier, stated = load_classifier(options.classifier)
    _check_fit(options, model.info, classifier)
    method = Method.of(recipe, model)
    started = time.perf_counter()
    generated = reduce(add, _judged(method, classifier, options))
    seconds = time.perf_counter() - started
    real = _on_real_images(options.data, classifier)
    report = Report(
        model=str(model.folder),
        n=options.n,
        steps=options.steps,
        sampler=options.sampler,
        guidance=options.guidance,
        seed=options.seed,
        network_calls_per_image=method.calls,
        seconds=round(seconds, 2),
        classes=classifier.config.classes,
        generated=_shares(generated),
        real=None if real is None else _shares(real),
        stated_accuracy=stated,
    )
    if options.out is not None:
        with replacing(options.out) as staged:
            staged.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    _print(report)


def _check_fit(options: EvaluateOptions, info: ModelInfo, classifier: Classifier) -> None:
    known, got = classifier.config.classes, info.data.classes
    if got != known:
        raise InputError(f"model: expected the classifier's classes {', '.join(known)}, got {', '.join(got) or 'none'}")
    if info.data.channels != classifier.config.in_channels:
        raise InputError(f"model: expected {classifier.config.in_channels} channels, got {info.data.channels}")
    if options.n < len(known):
        raise InputError(f"n: expected at least one image for each of {len(known)} classes, got {options.n}")


def _recipe(options: EvaluateOptions) -> Recipe:
    try:
        return Recipe(
            sampler=SamplerOptions(sampler=options.sampler),
            levels=LevelOptions(steps=options.steps),
            guidance=GuidanceOptions(guidance=options.guidance),
        )
    except ValueError as error:
        raise InputError(str(error)) from error


def _judged(method: Method, classifier: Classifier, options: EvaluateOptions) -> Iterator[ClassConsistency]:
    """Batch by batch; the classifier sees 8-bit pixels, as it did in training."""
    names = method.model.classes
    subjects = [Subject(kind="class", number=number, name=name) for number, name in enumerate(names)]
    wanted = [Sample(seed=options.seed + i, subject=subjects[i % len(names)]) for i in range(options.n)]
    for batch, pictures in generate(method, wanted, options.batch_size):
        pixels = to_uint8(pictures, method.model.value_range)
        images = torch.from_numpy(pixels).movedim(-1, 1) / 127.5 - 1
        labels = torch.tensor([sample.subject.number for sample in batch if sample.subject])
        yield class_consistency(images, labels, classifier)


def _on_real_images(source: str, classifier: Classifier) -> ClassConsistency | None:
    """None where the real images are not on this machine: the stated accuracy stands alone then."""
    try:
        data = prepare(DataConfig(source=source, split="test"))
    except InputError as error:
        print(f"no real images to compare with: {error}")
        return None
    return dataset_consistency(data, classifier)


def _shares(consistency: ClassConsistency) -> Shares:
    return Shares(overall=consistency.share, per_class=consistency.per_class)


def _print(report: Report) -> None:
    """A row a class: generated images, then real ones."""
    width = max(map(len, report.classes))
    print(f"{'right class':{width}}  generated" + ("" if report.real is None else "    real"))
    rows = [("all", report.generated.overall, report.real and report.real.overall)]
    for i, name in enumerate(report.classes):
        rows.append((name, report.generated.per_class[i], report.real and report.real.per_class[i]))
    for name, generated, real in rows:
        print(f"{name:{width}}  {generated:9.1%}" + ("" if real is None else f"  {real:6.1%}"))
    print(f"the classifier's stated accuracy: {report.stated_accuracy:.1%}")
    print(f"{report.n} images in {report.seconds:.1f} s, {report.network_calls_per_image} network calls each")
