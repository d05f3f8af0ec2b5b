"""The judge of a model of texts, and the captions that its images are asked for.

Captions are asked for one after the other in a random order, always the same, so that fewer images than captions are
a fair choice of them.
"""

from dataclasses import replace

import numpy as np

from unetdiff.cli.evaluate.options import CaptionOptions
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.data import DataConfig, PackedDataset, prepare
from unetdiff.errors import InputError
from unetdiff.evaluation.caption_finder import CaptionFinder
from unetdiff.evaluation.feature_networks import load_features
from unetdiff.evaluation.judges.captions import CaptionJudge
from unetdiff.text import TokenEncoder

__all__ = ["caption_judge"]

LEAST = 2


def caption_judge(model: LoadedModel, config: DataConfig, options: CaptionOptions, count: int) -> CaptionJudge:
    """For `count` images of a model that was trained here on captions; `config` has images of their size.

    Raises:
        InputError: another model, or data without enough captions.
    """
    if not isinstance(model.text, TokenEncoder):
        expected = "one trained on captions by a text encoder of transformers, which is not a pipeline's"
        raise InputError(f"model: expected {expected}, got {model.folder}")
    if count < LEAST:
        raise InputError(f"n: expected at least {LEAST} images, whose captions differ, got {count}")
    training, data = (_captioned(replace(config, split=split)) for split in ("train", options.split))
    captions = _chosen(data, model.text, options.captions)
    features = load_features(options.caption_features, model.device)
    finder = CaptionFinder.fit(training, captions, model.text, features)
    return CaptionJudge(
        finder=finder,
        real=finder.score(data),
        source=f"{config.source} ({options.split})",
        features=options.caption_features,
    )


def _captioned(config: DataConfig) -> PackedDataset:
    if config.size is None:
        raise InputError("model: expected one of square pictures, as captioned images are packed, got another")
    data = prepare(config)
    if data.captions is None:
        raise InputError(f"data: expected images with captions, got none in {config.source}")
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
