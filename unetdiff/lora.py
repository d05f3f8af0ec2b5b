"""Low-rank adaptation: W x + (alpha / rank) B A x with only A and B trained (Hu et al. 2022, LoRA, equation 3).

The layers are peft's and the file is diffusers', so a LoRA trained here loads in its pipelines, and theirs load here.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from diffusers.loaders import StableDiffusionLoraLoaderMixin
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from unetdiff.errors import InputError
from unetdiff.name_patterns import matching
from unetdiff.plain import require
from unetdiff.unet import UNet

__all__ = ["LORA_FILE", "LoraConfig", "add_lora", "find_lora", "fuse_lora", "has_lora", "lora_tensors", "save_lora"]

logger = logging.getLogger(__name__)

LORA_FILE = "pytorch_lora_weights.safetensors"
ADAPTER = "default"
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Adapters of `rank` on the linear layers and convolutions that `targets` means: patterns of names.

    Their sum is multiplied by `alpha` / `rank`; `alpha` null is `rank`, a factor of 1. `dropout` is on their input.
    """

    rank: int = 16
    alpha: float | None = None
    targets: tuple[str, ...] = ATTENTION
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require(self.rank >= 1, "lora.rank", "a positive number", self.rank)
        require(self.alpha is None or self.alpha > 0, "lora.alpha", "a positive number or null", self.alpha)
        require(len(self.targets) > 0, "lora.targets", "at least one pattern", self.targets)
        require(0 <= self.dropout < 1, "lora.dropout", "a probability below 1", self.dropout)


def add_lora(unet: UNet, config: LoraConfig) -> None:
    """Put adapters that add nothing yet into the network, and leave nothing else of it to be trained.

    Raises:
        InputError: targets that the network lacks, or no peft.
    """
    _require_peft()
    import peft

    layers = [name for name, module in unet.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    adapter = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.rank if config.alpha is None else config.alpha,
        lora_dropout=config.dropout,
        target_modules=matching(layers, config.targets, "lora.targets"),
        init_lora_weights="gaussian",
    )
    unet.add_adapter(adapter, ADAPTER)


def has_lora(unet: UNet) -> bool:
    """Whether `add_lora` was here."""
    return bool(unet._hf_peft_config_loaded)


def lora_tensors(unet: UNet) -> Mapping[str, Tensor]:
    """The adapters' tensors, not copies, by the names that they have in a file."""
    from peft.utils import get_peft_model_state_dict

    tensors: Mapping[str, Tensor] = get_peft_model_state_dict(unet, adapter_name=ADAPTER)
    return tensors


def save_lora(folder: Path, unet: UNet) -> None:
    """Write the adapters of a network as a LoRA file of diffusers, with the facts that its loader wants."""
    facts = unet.peft_config[ADAPTER].to_dict()
    facts["lora_dropout"] = 0.0  # of the training alone: diffusers' loader would leave it switched on
    facts["target_modules"] = sorted(facts["target_modules"])
    layers = {name: tensor.detach().cpu().contiguous() for name, tensor in lora_tensors(unet).items()}
    StableDiffusionLoraLoaderMixin.save_lora_weights(folder, unet_lora_layers=layers, unet_lora_adapter_metadata=facts)


def find_lora(source: str | Path) -> Path:
    """The LoRA file meant: a file, a folder that has `LORA_FILE`, or a run folder's `model/`."""
    path = Path(source)
    places = (path, path / LORA_FILE, path / "model" / LORA_FILE)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(f"{path}: a LoRA file or a folder with {LORA_FILE} expected, got neither")
    return found


def fuse_lora(unet: UNet, source: str | Path, scale: float = 1.0) -> None:
    """Add `scale` times a LoRA (see `find_lora`) to the weights: afterwards the network is an ordinary one.

    Of a LoRA for the network that this one was pruned from, what is for the removed parts is left out with a warning.

    Raises:
        InputError: no such file, a damaged one, one for another network, or no peft.
    """
    _require_peft()
    file = find_lora(source)
    try:
        with safe_open(file, framework="pt"):
            pass
        tensors, alphas, facts = StableDiffusionLoraLoaderMixin.lora_state_dict(
            str(file.parent), weight_name=file.name, local_files_only=True, return_lora_metadata=True
        )
        tensors = _of_network(file, tensors, unet)
        StableDiffusionLoraLoaderMixin.load_lora_into_unet(
            tensors, network_alphas=alphas, unet=unet, adapter_name=ADAPTER, metadata=facts
        )
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: a LoRA for this network expected, got: {reason}") from error
    unet.fuse_lora(scale)
    unet.unload_lora()


def _of_network(file: Path, tensors: Mapping[str, Tensor], unet: UNet) -> dict[str, Tensor]:
    """Without the layers of parts that were pruned; a file for other layers is refused.

    diffusers would leave all of them out with a warning.
    """
    modules = {name for name, _ in unet.named_modules()}
    layers = {key: key.removeprefix("unet.").partition(".lora")[0] for key in tensors if key.startswith("unet.")}
    unknown = sorted(set(layers.values()) - modules)
    gone = {layer for layer in unknown if any(f"{layer}.".startswith(f"{part}.") for part in unet.config.removed)}
    foreign = [layer for layer in unknown if layer not in gone]
    if foreign or not set(layers.values()) - gone:
        got = (
            f"one of {foreign[0]}" if foreign else "no tensor of a U-Net" if not layers else "one of removed parts only"
        )
        raise InputError(f"{file}: a LoRA for this network expected, got {got}")
    if gone:
        logger.warning("%s: left out %d layers of parts that were removed, %s among them", file, len(gone), min(gone))
    return {key: tensor for key, tensor in tensors.items() if layers.get(key) not in gone}


def _require_peft() -> None:
    if find_spec("peft") is None:
        raise InputError("lora: expected the package peft, which is not installed; install unetdiff[lora]")
