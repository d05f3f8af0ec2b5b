"""What a `DataConfig` names -> the source that reads it."""

from pathlib import Path

from unetdiff.data.arrays import ArrayFile
from unetdiff.data.config import DataConfig
from unetdiff.data.fashion_mnist import NAMES, FashionMnist, find_fashion_mnist
from unetdiff.data.image_folder import ImageFolder
from unetdiff.data.source import Source
from unetdiff.errors import InputError

__all__ = ["open_source"]


def open_source(config: DataConfig) -> Source:
    """The source of one split; InputError where there is none."""
    name, split = config.source, config.split
    if name == "fashion-mnist":
        return FashionMnist(find_fashion_mnist(), split)
    path = Path(name).expanduser().resolve()
    if path.is_dir():
        if any(path.glob(f"{NAMES[split][0]}*")):
            return FashionMnist(path, split)
        if (path / "train").is_dir() and (path / "test").is_dir():
            return ImageFolder(path / split)
    elif not path.is_file() or path.suffix not in (".npz", ".npy"):
        raise InputError(f"source: expected fashion-mnist, a folder of images, an .npz or an .npy file, got {name}")
    if split == "test":
        raise InputError(f"split: expected train for {name}, which has no test part, got test")
    return ImageFolder(path) if path.is_dir() else ArrayFile(path, config.columns, config.layout)
