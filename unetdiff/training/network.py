"""Which network a run trains, and what of it: from the beginning or a pretrained one, all, a part, or adapters."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unetdiff.errors import InputError
from unetdiff.lora import add_lora, has_lora, lora_tensors
from unetdiff.model_folder import ModelInfo, save_model
from unetdiff.name_patterns import matching
from unetdiff.plain import to_plain
from unetdiff.training.config import TrainConfig
from unetdiff.training.lora_folder import save_lora_folder
from unetdiff.training.pretrained import Pretrained
from unetdiff.training.transfer import Transfer, transfer
from unetdiff.unet import UNet

__all__ = ["StartingNetwork", "build_network", "fingerprint", "learned_tensors", "save_network"]


@dataclass(frozen=True, kw_only=True)
class StartingNetwork:
    """The network before the first step: what is trained of it has `requires_grad`.

    `origin` says where the weights come from, `identity` what a run that goes on must share of this.
    """

    unet: UNet
    origin: str
    identity: Mapping[str, Any]

    def __str__(self) -> str:
        """In one line."""
        parameters = list(self.unet.parameters())
        trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        total = sum(parameter.numel() for parameter in parameters)
        return f"{trained:,} of {total:,} parameters are trained; {self.origin}"


def build_network(config: TrainConfig, *, going_on: bool) -> StartingNetwork:
    """The network of a run.

    A run that is `going_on` has all weights in its checkpoint, with `lora` only the adapters: it reads `init` for those
    that they adapt.

    Raises:
        InputError: `init` cannot be read or does not fit, or a pattern of `freeze` or `lora` means nothing.
    """
    torch.manual_seed(config.seed)
    base = None
    if config.init is None or (going_on and config.lora is None):
        unet, origin = UNet(config.model), f"weights at random from seed {config.seed}"
    else:
        start = _pretrained(config, config.init)
        unet, origin = start.unet, f"weights of {config.init}: {start}"
    if config.lora is not None:
        base = fingerprint(unet)
        add_lora(unet, config.lora)
    _freeze(unet, config.freeze)
    if unet.config.time.cond_channels is not None:
        # No training tells a network its guidance weight; processes would wait for a gradient that does not come.
        unet.time_embedding.cond_proj.requires_grad_(False)
    lora = None if config.lora is None else {**to_plain(config.lora), "base": base}
    return StartingNetwork(unet=unet, origin=origin, identity={"freeze": list(config.freeze), "lora": lora})


def learned_tensors(unet: UNet) -> Mapping[str, Tensor]:
    """The tensors themselves that a checkpoint holds: the adapters', where there are any, or all."""
    return lora_tensors(unet) if has_lora(unet) else unet.state_dict()


def save_network(folder: Path, unet: UNet, info: ModelInfo) -> None:
    """What a run gives: a model folder, or where adapters were trained their LoRA file."""
    if has_lora(unet):
        save_lora_folder(folder, unet, info)
    else:
        save_model(folder, unet, info)


def fingerprint(unet: UNet) -> str:
    """SHA-256 of all weights with their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(unet.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _pretrained(config: TrainConfig, init: str) -> Transfer:
    source = Pretrained.find(init)
    source.require_preconditioning(config.objective.preconditioning)
    start = transfer(source.load(), config.model)
    if config.lora is not None and start.changed:
        raise InputError(f"model: expected the network of init, as lora trains adapters alone, got: {start.changed[0]}")
    return start


def _freeze(unet: UNet, patterns: tuple[str, ...]) -> None:
    """Take the parameters that any pattern means out of the training."""
    for name in matching([name for name, _ in unet.named_parameters()], patterns, "freeze"):
        unet.get_parameter(name).requires_grad_(False)
    if not any(parameter.requires_grad for parameter in unet.parameters()):
        raise InputError(f"freeze: expected patterns that leave something to train, got {list(patterns)}")
