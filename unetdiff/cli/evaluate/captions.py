"""A model of texts, judged by a vision model: how far in front of other captions it finds those of the images.

Captions are asked for one after the other in a random order, always the same, so that fewer images than captions are
a fair choice of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unetdiff.cli.evaluate.judge import Images
from unetdiff.cli.evaluate.options import CaptionOptions, EvaluateOptions
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.data import DataConfig, PackedDataset, prepare
from unetdiff.data.config import Split
from unetdiff.errors import InputError
from unetdiff.evaluation.caption_finder import CaptionFinder
from unetdiff.evaluation.feature_networks import load_features
from unetdiff.evaluation.retrieval import Measured, RetrievalScore
from unetdiff.model_info import JSON
from unetdiff.plain import to_plain
from unetdiff.sample_identity import Sample, Subject
from unetdiff.tables import table
from unetdiff.text import TokenEncoder

__all__ = ["CaptionJudge", "CaptionReport"]

LEAST = 2


@dataclass(frozen=True, kw_only=True)
class CaptionReport:
    """What was found: of generated images, of real ones with these captions, and by chance."""

    data: str
    split: Split
    captions: int
    features: str
    fitted: int
    generated: RetrievalScore
    real: RetrievalScore
    chance: RetrievalScore

    def facts(self) -> dict[str, JSON]:
        """See `Report`."""
        return to_plain(self)

    def text(self) -> str:
        """A row a measure, with its standard error."""
        scores = self.generated, self.real, self.chance
        rows = [
            ["own caption", "generated", "real", "chance"],
            *(
                [f"among first {depth}", *(_cell(score.recall[depth], ".1%") for score in scores)]
                for depth in self.chance.recall
            ),
            ["median rank", *(_cell(score.median_rank, ".1f") for score in scores)],
        ]
        return (
            f"{table(rows, left_aligned=[0])}\n{self.captions} captions of {self.data} ({self.split}), by "
            f"{self.features}, fitted to {self.fitted} training images with other captions"
        )


@dataclass(frozen=True, kw_only=True)
class CaptionJudge:
    """What finds captions, the images it is to see, and what it says of real ones."""

    finder: CaptionFinder
    wanted: Sequence[Sample]
    real: RetrievalScore
    data: str
    of_captions: CaptionOptions

    @classmethod
    def of(cls, model: LoadedModel, options: EvaluateOptions, of_captions: CaptionOptions) -> "CaptionJudge":
        """For a model that was trained here on captions.

        Raises:
            InputError: another model, or data without enough captions.
        """
        if not isinstance(model.text, TokenEncoder):
            expected = "one trained on captions by a text encoder of transformers, which is not a pipeline's"
            raise InputError(f"model: expected {expected}, got {model.folder}")
        if options.n < LEAST:
            raise InputError(f"n: expected at least {LEAST} images, whose captions differ, got {options.n}")
        training, data = (_captioned(model, options.data, split) for split in ("train", of_captions.split))
        captions = _chosen(data, model.text, of_captions.captions)
        subjects = [Subject(kind="prompt", number=number, name=caption) for number, caption in enumerate(captions)]
        features = load_features(of_captions.features, model.device)
        finder = CaptionFinder.fit(training, captions, model.text, features)
        return cls(
            finder=finder,
            wanted=[Sample(seed=options.seed + i, subject=subjects[i % len(subjects)]) for i in range(options.n)],
            real=finder.score(data),
            data=options.data,
            of_captions=of_captions,
        )

    def report(self, images: Images) -> CaptionReport:
        """See `Judge`."""
        owns, ranks = [], []
        for batch, pictures in images:
            own = np.array([sample.subject.number for sample in batch if sample.subject])
            owns.append(own)
            ranks.append(self.finder.ranks(pictures, own))
        return CaptionReport(
            data=self.data,
            split=self.of_captions.split,
            captions=len(self.finder.captions),
            features=self.of_captions.features,
            fitted=self.finder.fitted,
            generated=RetrievalScore.of(np.concatenate(ranks), np.concatenate(owns)),
            real=self.real,
            chance=RetrievalScore.by_chance(len(self.finder.captions)),
        )


def _captioned(model: LoadedModel, source: str, split: Split) -> PackedDataset:
    """Real images of the size of the model's pictures."""
    height, width = model.picture_size
    if height != width:
        raise InputError(
            f"model: expected one of square pictures, as captioned images are packed, got {height}x{width}"
        )
    data = prepare(DataConfig(source=source, split=split, size=height, channels=model.picture_channels))
    if data.captions is None:
        raise InputError(f"data: expected images with captions, got none in {source}")
    return data


def _chosen(data: PackedDataset, encoder: TokenEncoder, count: int | None) -> list[str]:
    """Different captions that the network can read whole, in a random order."""
    assert data.captions is not None
    different = sorted(set(data.captions) - {""})
    lengths = encoder.lengths(different)
    whole = [caption for caption, length in zip(different, lengths, strict=True) if length <= encoder.context]
    if len(whole) < (count or LEAST):
        raise InputError(
            f"captions: expected {count or LEAST} different ones of at most {encoder.context} tokens, got {len(whole)}"
        )
    order = np.random.default_rng(0).permutation(len(whole))
    return [whole[number] for number in order[:count]]


def _cell(measured: Measured, form: str) -> str:
    error = f" +- {measured.standard_error:{form}}" if measured.standard_error else ""
    return f"{measured.value:{form}}{error}"
