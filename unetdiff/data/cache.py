"""DataConfig -> PackedDataset: find the source, pack it on first use, map it into memory afterwards.

The cache folder's name holds a hash of the source's files (path, size, time of change) and of the settings, so that a
changed source is packed anew.
"""

import hashlib
import json
import os
from pathlib import Path

from unetdiff.data.config import DataConfig
from unetdiff.data.dataset import PackedDataset
from unetdiff.data.framing import Framing
from unetdiff.data.packing import pack
from unetdiff.data.sources.opening import open_source
from unetdiff.data.sources.source import Source
from unetdiff.plain import to_plain

__all__ = ["cache_folder", "prepare"]

FORMAT = 2
SETTINGS = ("size", "channels", "layout", "columns")  # of DataConfig, that change what is packed


def prepare(config: DataConfig) -> PackedDataset:
    """The images of `config`; InputError where the source is missing, damaged or inconsistent."""
    source = open_source(config)
    framing = Framing(size=config.size, channels=config.channels)
    folder = (
        cache_folder(config) / "packed" / f"{Path(config.source).resolve().stem}-{config.split}-{_key(source, config)}"
    )
    if not folder.is_dir():
        pack(source, framing, folder)
    return PackedDataset.open(folder)


def cache_folder(config: DataConfig) -> Path:
    """What can be made again lies here."""
    return config.cache or Path(os.environ.get("UNETDIFF_CACHE") or Path.home() / ".cache/unetdiff")


def _key(source: Source, config: DataConfig) -> str:
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in source.files]
    settings = {"format": FORMAT, "files": files, **{name: to_plain(config)[name] for name in SETTINGS}}
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
