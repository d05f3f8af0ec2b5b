"""The two stores that probes are fitted to and judged on: training and test images, read in the same way."""

from pathlib import Path

from unetdiff.errors import InputError
from unetdiff.features.store import FeatureStore

__all__ = ["open_splits"]

OF_A_SPLIT = ("split", "images", "data", "dtype", "shard_images")  # of a manifest, that may differ between splits


def open_splits(folder: Path) -> tuple[FeatureStore, FeatureStore]:
    """The stores `folder/train` and `folder/test`.

    Raises:
        InputError: a store that is missing or incomplete, or is of another model or settings than the other.
    """
    train, test = (FeatureStore.open(folder / split) for split in ("train", "test"))
    facts, others = train.manifest.facts, test.manifest.facts
    for name in facts.keys() - set(OF_A_SPLIT):
        if facts[name] != others[name]:
            raise InputError(
                f"{folder}: features of one model and setting expected, got {name} {facts[name]} of train and "
                f"{others[name]} of test"
            )
    return train, test
