"""`unetdiff data`: find or fetch Fashion-MNIST, pack images for training."""

from dataclasses import fields
from pathlib import Path

import jsonargparse
import numpy as np

from unetdiff.data import DataConfig, PackedDataset, prepare
from unetdiff.data.config import Split
from unetdiff.data.fashion_mnist import find_fashion_mnist, search_folders
from unetdiff.data.fetch import SHA256, fetch_fashion_mnist, is_published
from unetdiff.data.opening import KINDS
from unetdiff.errors import InputError

__all__ = ["parser", "run"]

SPLITS: tuple[Split, ...] = ("train", "test")


def parser() -> jsonargparse.ArgumentParser:
    """Build the two subcommands."""
    result = jsonargparse.ArgumentParser(prog="unetdiff data", description="Find, fetch and pack images.")
    commands = result.add_subcommands(required=True, dest="action")
    find = jsonargparse.ArgumentParser(description="Find Fashion-MNIST, else fetch it (31 MB).")
    commands.add_subcommand("fashion-mnist", find, help="find or fetch Fashion-MNIST")
    pack = jsonargparse.ArgumentParser(description="Pack images into the cache, as training does on first use.")
    pack.add_argument("source", help=KINDS)
    pack.add_class_arguments(DataConfig, skip={"source", "flip"})
    commands.add_subcommand("pack", pack, help="pack images into the cache")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Do it and say what is there."""
    if args.action == "pack":
        settings = parser().instantiate(args)["pack"]
        chosen = {entry.name: settings[entry.name] for entry in fields(DataConfig) if entry.name in settings}
        _describe(prepare(DataConfig(**chosen)))
        return
    folder = _found_or_fetched()
    published = all(is_published(folder / name) for name in SHA256)
    print(f"{folder}: {'the published files' if published else 'not, or not only, the published files'}")
    for split in SPLITS:
        print(f"\n{split}")
        _describe(prepare(DataConfig(source=str(folder), split=split)))


def _found_or_fetched() -> Path:
    try:
        return find_fashion_mnist()
    except InputError:
        folder = search_folders()[-1]
        fetch_fashion_mnist(folder)
        return folder


def _describe(data: PackedDataset) -> None:
    count, channels, height, width = data.images.shape
    print(f"{count} images, {channels} x {height} x {width}, packed in {data.folder}")
    if data.unreadable:
        print(f"{data.unreadable} unreadable images left out")
    if data.labels is not None:
        for name, images in zip(data.classes, np.bincount(data.labels, minlength=len(data.classes)), strict=True):
            print(f"{images:8} {name}")
