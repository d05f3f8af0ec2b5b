"""The model folder: what training writes and every command takes.

unet/config.json  unet/diffusion_pytorch_model.safetensors    the network, as diffusers saves it
denoiser.json                                                 preconditioning, noise range, data, training summary
README.md                                                     model card
"""

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from unetdiff.atomic import replacing_folder
from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.model_card import model_card
from unetdiff.model_info import DataInfo, ModelInfo
from unetdiff.unet import UNet

__all__ = ["SHIPPED", "DataInfo", "ModelInfo", "find_model", "load_model", "save_model", "weights_hash"]

SHIPPED = Path(__file__).parent / "assets" / "fashion-mnist"


def save_model(folder: Path, unet: UNet, info: ModelInfo, dtype: torch.dtype = torch.float32) -> None:
    """Write a model folder with the weights stored as `dtype`; readers of an older one find it complete throughout."""
    with torch.device("meta"):
        stored = UNet(unet.config)
    weights = {name: tensor.detach().to("cpu", dtype) for name, tensor in unet.state_dict().items()}
    stored.load_state_dict(weights, assign=True)
    card = model_card(unet.config, unet.num_parameters(), info)
    with replacing_folder(folder) as staged:
        try:
            stored.save_pretrained(staged / "unet")
        except SafetensorError as error:
            raise OSError(errno.EIO, str(error), str(folder)) from error
        (staged / "denoiser.json").write_text(json.dumps(info.to_dict(), indent=2) + "\n", encoding="utf-8")
        (staged / "README.md").write_text(card, encoding="utf-8")


def find_model(name_or_folder: str | Path | None) -> Path:
    """The model folder meant: the shipped model (None), a model folder, or a run folder's `model/`."""
    if name_or_folder is None:
        return SHIPPED
    folder = Path(name_or_folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: a model folder or a run folder expected, got {_what(folder)}")
    return folder / "model" if (folder / "model").is_dir() and not (folder / "unet").exists() else folder


def load_model(name_or_folder: str | Path | None, device: torch.device | str = "cpu") -> tuple[Denoiser, ModelInfo]:
    """The denoiser in a folder (see `find_model`), float32 and in evaluation mode.

    Raises:
        InputError: a file that is missing, damaged, or of another kind of model.
    """
    folder = find_model(name_or_folder)
    info_file = folder / "denoiser.json"
    values = _read_json(info_file)
    try:
        info = ModelInfo.from_dict(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"{info_file}: {error}") from error
    unet = _load_unet(folder / "unet")
    return Denoiser(unet, info.preconditioning).to(device).eval(), info


def weights_hash(folder: Path) -> str:
    """SHA-256 of a model folder's weights: the bytes of its safetensors files in the order of their names."""
    digest = hashlib.sha256()
    for path in _weight_files(folder / "unet"):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _load_unet(folder: Path) -> UNet:
    config_file = folder / "config.json"
    config = _read_json(config_file)
    kind = config.get("_class_name")
    if kind != "UNet":
        raise InputError(f"{config_file}: the configuration of a unetdiff UNet expected, got {kind!r}")
    for path in _weight_files(folder):
        try:
            safe_open(path, framework="pt")
        except SafetensorError as error:
            raise InputError(f"{path}: a complete safetensors file expected, this one is damaged: {error}") from error
    try:
        unet, found = UNet.from_pretrained(
            folder, torch_dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{folder}: {error}") from error
    for problem in ("missing_keys", "unexpected_keys"):
        if found[problem]:
            names = ", ".join(sorted(found[problem])[:3])
            raise InputError(
                f"{folder}: weights that fit config.json expected, got {problem.replace('_', ' ')} {names}"
            )
    assert isinstance(unet, UNet)
    return unet


def _weight_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: weights in *.safetensors expected, got none")
    return files


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: a file of a model folder expected, got {_what(path)}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: JSON expected, got {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: a JSON object expected, got {type(values).__name__}")
    return values


def _what(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "another file" if path.exists() else "nothing of that name"
