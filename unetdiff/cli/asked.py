"""Which images a command asks for: every class, prompt or vector with every seed.

A model that is told classes beside prompts or vectors makes each of these in each class.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.recipe import StartOptions
from unetdiff.data.sources.image_folder import ImageFolder
from unetdiff.errors import InputError
from unetdiff.plain import require
from unetdiff.sample_identity import Sample, Source, Subject
from unetdiff.selection import select_classes, select_numbers, select_prompts, select_vectors, way_through

__all__ = ["AskedOptions", "file_hash", "wanted_samples"]

SEEDS = 2**32


@dataclass(frozen=True, kw_only=True)
class AskedOptions:
    """Images.

    Attributes:
        classes: Numbers, ranges or names, such as 0-4,7,Sneaker; all classes without it.
        prompt: A text, for a model of texts.
        prompts: A file with a text in each line, or a text itself.
        vectors: An .npy file with a vector in each row, for a model of vectors.
        seeds: Numbers or ranges; every class, prompt or vector is sampled with every seed.
        interpolate: Steps from the noise of each seed to that of the next.
    """

    classes: str | None = None
    prompt: str | None = None
    prompts: str | None = None
    vectors: Path | None = None
    seeds: str = "0-9"
    interpolate: int = 1

    def __post_init__(self) -> None:
        require(self.interpolate >= 1, "interpolate", "at least 1 step", self.interpolate)


def wanted_samples(options: AskedOptions, model: LoadedModel, start: StartOptions) -> list[Sample]:
    """Subject by subject, seed by seed.

    Raises:
        InputError: classes, prompts or pictures that do not fit the model or the seeds.
    """
    seeds = select_numbers(options.seeds, SEEDS, "seeds")
    if options.interpolate > 1 and len(seeds) < 2:
        raise InputError(f"interpolate: at least 2 seeds expected, got {options.seeds}")
    subjects: Sequence[Subject | None] = _subjects(options, model) or (None,)
    beside = model.text is not None or model.vector_channels is not None
    labels: Sequence[Subject | None] = (_classes(options, model) if beside else None) or (None,)
    sources = {} if start.given is None else _sources(*start.given, seeds)
    return [
        Sample(seed=seed, subject=subject, towards=towards, source=sources.get(seed), label=label)
        for subject in subjects
        for label in labels
        for seed, towards in way_through(seeds, options.interpolate)
    ]


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _subjects(options: AskedOptions, model: LoadedModel) -> list[Subject]:
    prompts = select_prompts(options.prompt, options.prompts)
    if prompts and model.text is None:
        raise InputError(f"prompt: a model with a text encoder expected, {model.folder} has none")
    if options.classes is not None and not model.classes:
        raise InputError(f"classes: a model with classes expected, got one without and {options.classes!r}")
    if options.vectors is not None and model.vector_channels is None:
        raise InputError(f"vectors: a model of vectors expected, {model.folder} has none")
    if model.text is not None:
        if not prompts:
            raise InputError(f"prompt: a text expected for {model.folder}, got none")
        return [Subject(kind="prompt", number=number, name=text) for number, text in enumerate(prompts)]
    if model.vector_channels is not None:
        if options.vectors is None:
            raise InputError(f"vectors: a file expected for {model.folder}, got none")
        rows = select_vectors(options.vectors, model.vector_channels)
        return [Subject(kind="vector", number=number, name=values) for number, values in enumerate(rows)]
    return _classes(options, model)


def _classes(options: AskedOptions, model: LoadedModel) -> list[Subject]:
    chosen = select_classes(options.classes, model.classes) if model.classes else ()
    return [Subject(kind="class", number=number, name=model.classes[number]) for number in chosen]


def _sources(option: str, place: str, seeds: Sequence[int]) -> Mapping[int, Source]:
    """The picture of each seed."""
    path = Path(place)
    files = ImageFolder(path).files if path.is_dir() else [path] * len(seeds)
    if len(files) != len(seeds):
        raise InputError(f"{option}: a picture for each of {len(seeds)} seeds expected, got {len(files)} in {path}")
    return {seed: Source(path=str(file), sha256=file_hash(file)) for seed, file in zip(seeds, files, strict=True)}
