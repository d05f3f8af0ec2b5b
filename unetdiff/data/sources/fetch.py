"""Fetching Fashion-MNIST from a Debian or Ubuntu mirror, without being root.

The Debian package dataset-fashion-mnist is downloaded with package lists of our own and unpacked, not installed.
"""

import hashlib
import os
import tempfile
from pathlib import Path

from unetdiff.data.sources.programs import call, require_programs
from unetdiff.errors import InputError

__all__ = ["SHA256", "fetch_fashion_mnist", "is_published"]

PACKAGE = "dataset-fashion-mnist"
SHA256 = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}


def fetch_fashion_mnist(folder: Path) -> None:
    """Download into `folder`, which appears complete or not at all; InputError where that is impossible."""
    otherwise = f"put the four files of https://github.com/zalandoresearch/fashion-mnist into {folder}"
    require_programs(["apt-get", "dpkg"], "fashion-mnist", otherwise)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as work:
        unpacked = _download(Path(work)) / "usr/share/datasets/fashion-mnist"
        wrong = [name for name in SHA256 if not is_published(unpacked / name)]
        if wrong:
            raise InputError(f"fashion-mnist: expected the published sha256 of {', '.join(wrong)}, got others")
        folder.mkdir(exist_ok=True)
        for name in SHA256:
            os.replace(unpacked / name, folder / name)


def is_published(path: Path) -> bool:
    """Whether a file is, byte for byte, the published one of its name."""
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256[path.name]


def _download(work: Path) -> Path:
    """Folder below `work` with the package's content."""
    for lists in ("lists/partial", "cache/archives/partial"):
        (work / lists).mkdir(parents=True)
    private = {
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work / "cache",
        "Debug::NoLocking": 1,
        "APT::Sandbox::User": "",  # as root, apt would hand over to a user who may not write here
    }
    apt = ["apt-get", *(part for key, value in private.items() for part in ("-o", f"{key}={value}"))]
    call([*apt, "update"], work, "fashion-mnist")
    call([*apt, "download", PACKAGE], work, "fashion-mnist")
    (package,) = work.glob(f"{PACKAGE}_*.deb")
    call(["dpkg", "-x", package.name, "unpacked"], work, "fashion-mnist")
    return work / "unpacked"
