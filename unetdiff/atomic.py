"""Files that appear whole: written under a temporary name beside the target, then renamed onto it.

They have the permissions of any new file there; safetensors (0.8) writes files that their owner alone can read.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing", "replacing_folder"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` (same suffix); rename it onto `path` at the end, remove it on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = _staged(path)
    try:
        mode = _new_file_mode(staged)
        yield staged
        staged.chmod(mode)
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `folder`; at the end its files take their places in `folder`.

    A new folder appears by one rename. In an existing one, files are replaced one by one, so that a reader always
    finds a complete set, and files of written subfolders that were not written again are removed at the end.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = _staged(folder)
    staged.mkdir()
    try:
        mode = _new_file_mode(staged / "mode")
        yield staged
        for path in _files(staged):
            path.chmod(mode)
        if folder.exists():
            _merge(staged, folder)
        else:
            os.replace(staged, folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _staged(path: Path) -> Path:
    return path.with_name(f".tmp-{os.getpid()}-{path.name}")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _new_file_mode(path: Path) -> int:
    """Permissions that the umask, or the folder's own list, gives to a new file of that name; none is left there."""
    path.touch()
    mode = path.stat().st_mode
    path.unlink()
    return mode


def _merge(source: Path, target: Path) -> None:
    subfolders = [path.relative_to(source) for path in source.rglob("*") if path.is_dir()]
    files = [path.relative_to(source) for path in _files(source)]
    for subfolder in subfolders:
        (target / subfolder).mkdir(parents=True, exist_ok=True)
    for file in files:
        os.replace(source / file, target / file)
    for subfolder in subfolders:
        for path in (target / subfolder).iterdir():
            if path.is_file() and path.relative_to(target) not in files:
                path.unlink()
