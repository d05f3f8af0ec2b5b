"""The model folder: what training writes and every command takes.

unet/config.json  unet/diffusion_pytorch_model.safetensors    the network, as diffusers saves it
denoiser.json                                                 preconditioning, noise range, data, training summary
README.md                                                     model card
"""

import errno
import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError

from unetdiff.atomic import replacing_folder
from unetdiff.denoiser import Denoiser
from unetdiff.diffusers_config import preconditioning_from_scheduler, read_config
from unetdiff.errors import InputError
from unetdiff.lora import LORA_FILE
from unetdiff.model_card import model_card
from unetdiff.model_info import DataInfo, ModelInfo
from unetdiff.plain import require
from unetdiff.preconditioning import preconditioning_from_dict
from unetdiff.unet import UNet
from unetdiff.weight_source import read_json

__all__ = ["SHIPPED", "DataInfo", "ModelInfo", "find_model", "load_model", "named", "save_model", "weights_hash"]

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
    """The model folder meant: the shipped model (None or its name), a model folder, or a run folder's `model/`."""
    if name_or_folder is None:
        return SHIPPED
    folder = named(name_or_folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: a model folder or a run folder expected, got {_what(folder)}")
    found = folder / "model" if (folder / "model").is_dir() and not (folder / "unet").exists() else folder
    if (found / LORA_FILE).is_file() and not (found / "unet").exists():
        raise InputError(f"{found}: a model folder expected, got a LoRA; name its model, and this folder as --lora")
    return found


def named(name_or_folder: str | Path) -> Path:
    """The folder of the shipped model where its name is given and nothing here has it; else what is given."""
    folder = Path(name_or_folder)
    return SHIPPED if str(folder) == SHIPPED.name and not folder.exists() else folder


def load_model(name_or_folder: str | Path | None, device: torch.device | str = "cpu") -> tuple[Denoiser, ModelInfo]:
    """The denoiser in a folder (see `find_model`), float32 and in evaluation mode.

    A diffusers pipeline folder has `scheduler/` in the place of `denoiser.json`.

    Raises:
        InputError: a file that is missing, damaged, or of another kind of model.
    """
    folder = find_model(name_or_folder)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    info = _pipeline_info(folder, scheduler) if scheduler.is_file() else _own_info(folder / "denoiser.json")
    unet = UNet.from_pretrained(folder, subfolder="unet", torch_dtype=torch.float32)
    return Denoiser(unet, info.preconditioning).to(device).eval(), info


def weights_hash(folder: Path) -> str:
    """SHA-256 of a model folder's weights: the bytes of its safetensors files in the order of their names."""
    digest = hashlib.sha256()
    for path in _weight_files(folder / "unet"):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _own_info(file: Path) -> ModelInfo:
    values = read_json(file)
    try:
        return ModelInfo.from_dict(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"{file}: {error}") from error


def _pipeline_info(folder: Path, scheduler: Path) -> ModelInfo:
    """What the scheduler and the network's configuration of a pipeline say."""
    network = folder / "unet" / "config.json"
    try:
        preconditioning = preconditioning_from_dict(preconditioning_from_scheduler(read_json(scheduler)))
        config = read_config(read_json(network))
        require(config.sample_size is not None, "sample_size", "a number", None)
    except ValueError as error:
        raise InputError(f"{folder}: {error}") from error
    assert config.image_size is not None
    height, width = config.image_size
    data = DataInfo(channels=config.out_channels - config.variance_channels, height=height, width=width)
    return ModelInfo(preconditioning=preconditioning, data=data)


def _weight_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: weights in *.safetensors expected, got none")
    return files


def _what(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "another file" if path.exists() else "nothing of that name"
