"""Which images a model sees: the source, and the form they are brought to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unetdiff.data.sources.columns import Columns
from unetdiff.errors import InputError

__all__ = ["DataConfig", "Layout", "MissingSplitError", "Split"]

Split = Literal["train", "test"]
Layout = Literal["channels_first", "channels_last"]


class MissingSplitError(InputError):
    """A source that has not the part that was asked for."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Images to train on or to measure with.

    Attributes:
        source: "fashion-mnist"; "emoji"; "hf:owner/name" or "hf:owner/name:configuration" on the Hugging Face hub;
            a folder of images with class subfolders, or with metadata.jsonl or metadata.csv; an .npz or .npy file;
            parquet files or webdataset shards, as a folder, one file or a pattern like "shard-{000..009}.tar".
        split: The part to read; a folder has both when its subfolders, or the names of its shards, begin with train
            and test.
        size: Side of the square that every image is resized and cropped to; as it is when left out.
        channels: 1 (grey) or 3 (colour); as it is when left out. Arrays with another number of channels keep it.
        layout: Where an array has its channels; seen from its shape when left out, wherever that shows it.
        columns: Names of images, labels, captions and vectors in the source.
        flip: Mirror every second image, at random.
        cache: Folder for the packed images; $UNETDIFF_CACHE, else ~/.cache/unetdiff, when left out.
    """

    source: str = "fashion-mnist"
    split: Split = "train"
    size: int | None = None
    channels: int | None = None
    layout: Layout | None = None
    columns: Columns = field(default_factory=Columns)
    flip: bool = False
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.split not in ("train", "test"):
            raise InputError(f"split: expected train or test, got {self.split}")
        if self.size is not None and self.size < 1:
            raise InputError(f"size: expected at least 1 pixel, got {self.size}")
        if self.channels is not None and self.channels < 1:
            raise InputError(f"channels: expected 1 (grey), 3 (colour) or the number of an array, got {self.channels}")
        if self.layout not in (None, "channels_first", "channels_last"):
            raise InputError(f"layout: expected channels_first or channels_last, got {self.layout}")
