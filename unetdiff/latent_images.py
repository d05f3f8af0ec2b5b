"""Packed images as an autoencoder's latents, encoded once and kept beside them (Rombach et al. 2022, section 3.1).

    latents-<key>/   a dataset as any other, but images.npy (N,C,h,w) float32 holds the means of the latents, normalised
    spread.npy       their standard deviations: an image is mean + spread eps, with noise of its own at every look

The key is a hash of the images and of the autoencoder. https://arxiv.org/abs/2112.10752
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from tqdm import tqdm

from unetdiff.atomic import replacing_folder
from unetdiff.data import PackedDataset
from unetdiff.data.pixels import values
from unetdiff.errors import InputError
from unetdiff.latents import Codec, open_codec
from unetdiff.model_info import CodecInfo

__all__ = ["LatentsConfig", "codec_info", "load_described_codec", "prepare_latents"]

BATCH = 16
PIXELS = 1 << 20
"""Most of a batch: an encoder works on a hundred channels of this size, and takes gigabytes."""

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class LatentsConfig:
    """Learn latents instead of pixels.

    Attributes:
        codec: Folder of an AutoencoderKL of diffusers.
        sample: Draw from the autoencoder's distribution at every look; its mean otherwise.
    """

    codec: str
    sample: bool = True


@lru_cache  # the weights are read whole
def codec_info(folder: str) -> CodecInfo:
    """What a model folder says of its autoencoder."""
    return CodecInfo(codec=folder, sha256=_hash(Path(folder)))


def load_described_codec(info: CodecInfo, place: str | None = None, device: torch.device | str = "cpu") -> Codec:
    """The autoencoder that `info` describes, in the folder `place`, or where it was in training.

    Raises:
        InputError: not there, or another one.
    """
    folder = info.codec if place is None else place
    if _hash(Path(folder)) != info.sha256:
        raise InputError(f"codec {folder}: the autoencoder that the model was trained with expected, got another")
    return open_codec(Path(folder), device)


def prepare_latents(data: PackedDataset, config: LatentsConfig) -> PackedDataset:
    """The latents of `data`, encoded on first use.

    Raises:
        InputError: an autoencoder that cannot take the images.
    """
    info = codec_info(config.codec)
    key = json.dumps([FORMAT, data.fingerprint, info.sha256, config.sample]).encode()
    fingerprint = hashlib.sha256(key).hexdigest()
    folder = data.folder / f"latents-{fingerprint[:16]}"
    if not folder.is_dir():
        codec = load_described_codec(info)
        _check_fit(data, codec, config.codec)
        with replacing_folder(folder) as staged:
            for path in data.folder.iterdir():
                if path.is_file() and path.name != "images.npy":
                    shutil.copy2(path, staged)
            facts = json.loads((staged / "dataset.json").read_text(encoding="utf-8")) | {"fingerprint": fingerprint}
            (staged / "dataset.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")
            _write(data, codec, staged, config.sample)
    return PackedDataset.open(folder)


def _hash(folder: Path) -> str:
    """SHA-256 of configuration and weights."""
    digest = hashlib.sha256()
    for path in (folder / "config.json", *sorted(folder.glob("*.safetensors"))):
        if not path.is_file():
            raise InputError(f"{path}: a file of an AutoencoderKL expected, got nothing of that name")
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _write(data: PackedDataset, codec: Codec, folder: Path, sample: bool) -> None:
    count, _, height, width = data.images.shape
    shape = (count, codec.channels, height // codec.factor, width // codec.factor)
    names = ("images.npy", "spread.npy") if sample else ("images.npy",)
    files = [open_memmap(folder / name, mode="w+", dtype=np.float32, shape=shape) for name in names]
    batch = min(BATCH, max(1, PIXELS // (height * width)))
    for start in tqdm(range(0, count, batch), desc="encoding images", unit=" batches", disable=None):
        rows = slice(start, start + batch)
        for file, tensor in zip(files, codec.posterior(torch.from_numpy(values(data.images[rows]))), strict=False):
            file[rows] = tensor.numpy()
    for file in files:
        file.flush()


def _check_fit(data: PackedDataset, codec: Codec, name: str) -> None:
    _, channels, height, width = data.images.shape
    if channels != codec.model.config.in_channels:
        raise InputError(
            f"latents: images of {codec.model.config.in_channels} channels for {name} expected, got {channels}"
        )
    if height % codec.factor or width % codec.factor:
        raise InputError(f"latents: sizes that {codec.factor} divides expected for {name}, got {height}x{width}")
