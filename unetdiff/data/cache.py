"""DataConfig -> PackedDataset: find the source, pack it on first use, map it into memory afterwards.

The cache folder's name holds a hash of the source's files (path, size, time of change) and of the settings, so that a
changed source is packed anew.
"""

import hashlib
import json
import os
from pathlib import Path

from unetdiff.data.arrays import ArrayFile
from unetdiff.data.config import DataConfig, Split
from unetdiff.data.dataset import PackedDataset
from unetdiff.data.fashion_mnist import NAMES, FashionMnist, find_fashion_mnist
from unetdiff.data.framing import Framing
from unetdiff.data.image_folder import ImageFolder
from unetdiff.data.packing import pack
from unetdiff.data.source import Source
from unetdiff.errors import InputError

__all__ = ["prepare"]

FORMAT = 2


def prepare(config: DataConfig) -> PackedDataset:
    """The images of `config`; InputError where the source is missing, damaged or inconsistent."""
    source = _open_source(config.source, config.split)
    framing = Framing(size=config.size, channels=config.channels)
    folder = _cache(config) / "packed" / f"{Path(config.source).resolve().stem}-{config.split}-{_key(source, framing)}"
    if not folder.is_dir():
        pack(source, framing, folder)
    return PackedDataset.open(folder)


def _open_source(name: str, split: Split) -> Source:
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
    return ImageFolder(path) if path.is_dir() else ArrayFile(path)


def _cache(config: DataConfig) -> Path:
    return config.cache or Path(os.environ.get("UNETDIFF_CACHE") or Path.home() / ".cache/unetdiff")


def _key(source: Source, framing: Framing) -> str:
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in source.files]
    settings = {"format": FORMAT, "size": framing.size, "channels": framing.channels, "files": files}
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
