"""Where `from_pretrained` finds a network: a folder of ours or of diffusers, or a repository of the hub."""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open

from unetdiff.errors import InputError

__all__ = ["REPOSITORY", "contained", "find_network", "local_folder", "read_json", "refusal", "require_weights"]

CONVERTERS = {".pkl": "unetdiff convert edm", ".pt": "unetdiff convert guided", ".pth": "unetdiff convert guided"}
STEM = "diffusion_pytorch_model"
REPOSITORY = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def find_network(source: str | Path, subfolder: str | None = None) -> Path | None:
    """The local folder with the network's `config.json`: `source`, its `subfolder`, or without one its `unet/`.

    Returns:
        None where `source` is the name of a repository of the hub.

    Raises:
        InputError: a file, a folder without a configuration, or nothing that a repository could be called.
    """
    path = Path(source)
    if path.is_dir():
        places = [path, path / "unet"] if subfolder is None else [path / subfolder]
        found = next((place for place in places if (place / "config.json").is_file()), places[0])
        read_json(found / "config.json")
        return found
    if path.is_file():
        command = CONVERTERS.get(path.suffix)
        hint = f"; `{command} {path.name} OUT` makes one of it" if command else ""
        raise InputError(f"{path}: a folder with config.json and weights expected, got a file{hint}")
    if isinstance(source, Path) or not REPOSITORY.fullmatch(source):
        raise InputError(f"{source}: a folder or the name of a hub repository expected, got nothing of that name")
    return None


def local_folder(source: str, files: Sequence[str], what: str) -> Path:
    """The folder `source`, or where the hub's repository of that name is kept; `what` it is, for the message.

    Args:
        source: folder or repository.
        files: patterns of the files to fetch of a repository.
        what: such as "a text encoder".

    Raises:
        InputError: neither.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not REPOSITORY.fullmatch(source):
        raise InputError(f"{source}: {what}'s folder or hub repository expected, got nothing of that name")
    try:
        return Path(snapshot_download(source, allow_patterns=list(files)))
    except (OSError, ValueError) as error:
        raise refusal(source, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        InputError: no such file, or something else in it.
    """
    if not path.is_file():
        raise InputError(f"{path}: a file of a model folder expected, got nothing of that name")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: JSON expected, got {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: a JSON object expected, got {type(values).__name__}")
    return values


def require_weights(folder: Path, variant: str | None = None) -> None:
    """Refuse a folder without weights of this variant (`fp16`), or with damaged ones; no tensor is read.

    Raises:
        InputError: names the folder or the file.
    """
    infix, shard = "" if variant is None else f".{variant}", r"-\d+-of-\d+"
    named = re.escape(infix)
    weights = re.compile(rf"{STEM}({named}|{named}{shard}|{shard}{named})\.(safetensors|bin)")
    files = sorted(path for path in folder.iterdir() if weights.fullmatch(path.name))
    if not files:
        names = sorted(path.name for path in folder.iterdir())
        raise InputError(f"{folder}: weights in {STEM}{infix}.safetensors expected, got {names}")
    for index in folder.glob("*.index*.json"):
        read_json(index)
    for path in files:
        if path.suffix == ".safetensors":
            _require_complete(path)


@contextmanager
def contained() -> Iterator[None]:
    """Keep in what diffusers' loading does around its result: warnings of misfits, and the default dtype it leaves."""
    log, dtype = logging.getLogger("diffusers.models.modeling_utils"), torch.get_default_dtype()
    log.addFilter(_is_no_misfit)
    try:
        yield
    finally:
        log.removeFilter(_is_no_misfit)
        torch.set_default_dtype(dtype)


def _is_no_misfit(record: logging.LogRecord) -> bool:
    """Misfits are refused with a message of their own."""
    return not record.getMessage().startswith("Some weights of")


def refusal(source: str | Path, error: Exception) -> InputError:
    """What diffusers says about a source that it cannot load, in one sentence."""
    reason = str(error).strip().splitlines()[0].rstrip(".")
    remote = isinstance(error, OSError) and not Path(source).exists()
    expected = "a folder or a hub repository within reach expected, but " if remote else ""
    return InputError(f"{source}: {expected}{reason}")


def _require_complete(path: Path) -> None:
    try:
        safe_open(path, framework="pt")
    except SafetensorError as error:
        raise InputError(f"{path}: a complete safetensors file expected, this one is damaged: {error}") from error
