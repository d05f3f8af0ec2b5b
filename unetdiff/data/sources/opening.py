"""What a `DataConfig` names -> the source that reads it."""

import re
from collections.abc import Sequence
from pathlib import Path

from unetdiff.data.config import DataConfig, MissingSplitError, Split
from unetdiff.data.sources.arrays import ArrayFile
from unetdiff.data.sources.arrow_table import HUB, open_hub, open_parquet
from unetdiff.data.sources.captioned_folder import CaptionedFolder, find_metadata
from unetdiff.data.sources.emoji import find_emoji
from unetdiff.data.sources.fashion_mnist import NAMES, FashionMnist, find_fashion_mnist
from unetdiff.data.sources.image_folder import ImageFolder
from unetdiff.data.sources.source import Source
from unetdiff.data.sources.tar_shards import TarShards
from unetdiff.errors import InputError

__all__ = ["KINDS", "open_source"]

KINDS = (
    "fashion-mnist, emoji, hf:owner/name, a folder of images, an .npz or .npy file, .parquet files or .tar shards "
    "(shard-{000..009}.tar)"
)
TARS = (".tar", ".tar.gz", ".tgz")
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def open_source(config: DataConfig) -> Source:
    """The source of one split; InputError where there is none."""
    if config.source == "fashion-mnist":
        return FashionMnist(find_fashion_mnist(), config.split)
    if config.source == "emoji":
        return CaptionedFolder(find_emoji() / config.split, config.columns)
    if config.source.startswith(HUB):
        return open_hub(config.source, config.split, config.columns)
    path = Path(config.source).expanduser().resolve()
    if path.is_dir():
        return _open_folder(path, config)
    files = _expand(str(path))
    missing = [file for file in files if not file.is_file()]
    if missing or not (path.suffix in (".npz", ".npy") or _are_shards(files)):
        raise InputError(f"source: expected {KINDS}, got {missing[0] if missing and files[1:] else config.source}")
    _require_train(config)
    return _open_shards(files, config) if _are_shards(files) else ArrayFile(path, config.columns, config.layout)


def _open_folder(folder: Path, config: DataConfig) -> Source:
    """The part of the split where the folder has parts, by the names of subfolders or of shards; else all of it."""
    if any(folder.glob(f"{NAMES[config.split][0]}*")):
        return FashionMnist(folder, config.split)
    files = sorted(path for path in (*folder.glob("*"), *folder.glob("*/*")) if _are_shards([path]))
    if files:
        return _open_shards(_of_split(files, folder, config), config)
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        folder = folder / config.split
    else:
        _require_train(config)
    return CaptionedFolder(folder, config.columns) if find_metadata(folder) else ImageFolder(folder)


def _of_split(files: Sequence[Path], folder: Path, config: DataConfig) -> Sequence[Path]:
    """The shards whose name, or folder, begins with train or test; all where none begins so."""
    parts: dict[Split, list[Path]] = {"train": [], "test": []}
    for path in files:
        for split, part in parts.items():
            if any(name.startswith(split) for name in path.relative_to(folder).parts):
                part.append(path)
    if not parts["test"]:
        _require_train(config)
    return parts[config.split] or files


def _open_shards(files: Sequence[Path], config: DataConfig) -> Source:
    if files[0].suffix == ".parquet":
        return open_parquet(files, config.columns)
    return TarShards(files, config.columns)


def _are_shards(files: Sequence[Path]) -> bool:
    return files[0].name.endswith((".parquet", *TARS))


def _expand(pattern: str) -> list[Path]:
    """`a-{08..10}.tar` -> a-08.tar, a-09.tar, a-10.tar; every range of a pattern is counted through."""
    found = RANGE.search(pattern)
    if found is None:
        return [Path(pattern)]
    start, stop = found.groups()
    numbers = (str(number).zfill(len(start)) for number in range(int(start), int(stop) + 1))
    return [path for number in numbers for path in _expand(pattern[: found.start()] + number + pattern[found.end() :])]


def _require_train(config: DataConfig) -> None:
    if config.split == "test":
        raise MissingSplitError(f"split: expected train for {config.source}, which has no test part, got test")
