"""`unetdiff data`: find or fetch Fashion-MNIST, build the emoji set, pack images for training."""

import tempfile
from dataclasses import fields
from pathlib import Path

import jsonargparse
import numpy as np
from jsonargparse.typing import PositiveInt

from unetdiff.data import DataConfig, PackedDataset, prepare
from unetdiff.data.config import Split
from unetdiff.data.sources.emoji import LICENSES, NOTICES, build_emoji, emoji_folders, fetch_packages
from unetdiff.data.sources.fashion_mnist import find_fashion_mnist, search_folders
from unetdiff.data.sources.fetch import SHA256, fetch_fashion_mnist, is_published
from unetdiff.data.sources.opening import KINDS
from unetdiff.errors import InputError

__all__ = ["parser", "run"]

SPLITS: tuple[Split, ...] = ("train", "test")


def parser() -> jsonargparse.ArgumentParser:
    """Build the three subcommands."""
    result = jsonargparse.ArgumentParser(prog="unetdiff data", description="Find, fetch and pack images.")
    commands = result.add_subcommands(required=True, dest="action")
    find = jsonargparse.ArgumentParser(description="Find Fashion-MNIST, else fetch it (31 MB).")
    commands.add_subcommand("fashion-mnist", find, help="find or fetch Fashion-MNIST")
    emoji = jsonargparse.ArgumentParser(description="Build the captioned emoji set from four npm packages (158 MB).")
    emoji.add_argument("--from", type=Path, help="folder with the packages' tarballs; without it npm fetches them")
    emoji.add_argument("--out", type=Path, help="where the set goes; where source emoji finds it, when left out")
    emoji.add_argument("--skin_tones", type=bool, default=False, help="with a picture for each skin tone")
    emoji.add_argument("--size", type=PositiveInt, default=32, help="size that it is packed at")
    commands.add_subcommand("emoji", emoji, help="build the captioned emoji set")
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
    elif args.action == "emoji":
        _build_emoji(args["emoji"])
    else:
        folder = _found_or_fetched()
        published = all(is_published(folder / name) for name in SHA256)
        print(f"{folder}: {'the published files' if published else 'not, or not only, the published files'}")
        _describe_splits(str(folder), size=None)


def _build_emoji(options: jsonargparse.Namespace) -> None:
    out = (options.out or emoji_folders()[0]).expanduser()
    with tempfile.TemporaryDirectory(prefix="unetdiff-") as fetched:
        packages = options["from"] or Path(fetched)
        if options["from"] is None:
            fetch_packages(packages)
        build_emoji(packages, out, skin_tones=options.skin_tones)
    print(f"{out}: built from\n" + "\n".join(f"    {notice}" for notice in NOTICES) + f"\nas {LICENSES} there says")
    _describe_splits(str(out), options.size)


def _describe_splits(source: str, size: int | None) -> None:
    for split in SPLITS:
        print(f"\n{split}")
        _describe(prepare(DataConfig(source=source, split=split, size=size)))


def _found_or_fetched() -> Path:
    try:
        return find_fashion_mnist()
    except InputError:
        folder = search_folders()[-1]
        fetch_fashion_mnist(folder)
        return folder


def _describe(data: PackedDataset) -> None:
    count, channels, height, width = data.images.shape
    depth = "" if data.images.itemsize == 1 else " of 16 bits"
    print(f"{count} images, {channels} x {height} x {width}{depth}, packed in {data.folder}")
    if data.unreadable:
        print(f"{data.unreadable} unreadable images left out")
    if data.captions is not None:
        longest = max(data.captions, key=len)
        print(f"captions: {len(set(data.captions))} distinct, the longest of {len(longest)} characters: {longest}")
    if data.vectors is not None:
        print(f"vectors: {data.vectors.shape[1]} numbers, from {data.vectors.min():g} to {data.vectors.max():g}")
    if data.labels is not None:
        for name, images in zip(data.classes, np.bincount(data.labels, minlength=len(data.classes)), strict=True):
            print(f"{images:8} {name}")
