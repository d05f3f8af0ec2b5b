"""The real images of a data set, in the parts that they play: what images are compared with, and what stands beside."""

from dataclasses import dataclass, replace

import numpy as np

from unetdiff.data import DataConfig, MissingSplitError, PackedDataset, prepare
from unetdiff.evaluation.image_set import DataImages
from unetdiff.plain import require

__all__ = ["RealImages"]

LEAST = 6


@dataclass(frozen=True, kw_only=True)
class RealImages:
    """Parts without an image in common.

    Attributes:
        training: What models are trained on.
        test: None of data without a test part.
        reference: What images are compared with: of the test part, else a random half of all.
        floor: What images like the training images would score: of the training part, else the other half.
    """

    training: PackedDataset
    test: PackedDataset | None
    reference: DataImages
    floor: DataImages

    @classmethod
    def of(cls, config: DataConfig, most: int) -> "RealImages":
        """Of a data set, at most `most` as the reference, in random orders that are always the same.

        Raises:
            ValueError: hardly an image.
            InputError: data that cannot be read.
        """
        training, test = prepare(replace(config, split="train")), _test_part(config)
        require(len(training) >= LEAST, "data", f"at least {LEAST} images", len(training))
        rows = np.random.default_rng(0).permutation(len(training))
        if test is None:
            half = len(rows) // 2
            reference, floor = DataImages(data=training, rows=rows[:half][:most]), rows[half:]
        else:
            order = np.random.default_rng(0).permutation(len(test))
            reference, floor = DataImages(data=test, rows=order[:most]), rows
        return cls(training=training, test=test, reference=reference, floor=DataImages(data=training, rows=floor))

    @property
    def held_out(self) -> DataImages | None:
        """Images that no model was trained on, if it is known."""
        return None if self.test is None else self.reference


def _test_part(config: DataConfig) -> PackedDataset | None:
    try:
        return prepare(replace(config, split="test"))
    except MissingSplitError:
        return None
