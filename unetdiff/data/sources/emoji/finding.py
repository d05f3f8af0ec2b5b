"""The captioned emoji set that `unetdiff data emoji` builds: a folder train and a folder test, each with metadata."""

import os
from pathlib import Path

from unetdiff.errors import InputError

__all__ = ["emoji_folders", "find_emoji"]


def find_emoji() -> Path:
    """The first folder that has the set; InputError that says how to get it."""
    for folder in emoji_folders():
        if all((folder / split / "metadata.jsonl").is_file() for split in ("train", "test")):
            return folder
    searched = ", ".join(map(str, emoji_folders()))
    raise InputError(f"emoji: not found in {searched}; `unetdiff data emoji` builds it")


def emoji_folders() -> list[Path]:
    """Where the set may be, best first; the first one is where it is built."""
    own = os.environ.get("UNETDIFF_DATA")
    return [*([Path(own) / "emoji"] if own else []), Path.home() / ".cache/unetdiff/emoji"]
