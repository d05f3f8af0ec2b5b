"""The folder of a fine-tuned classifier.

classifier.json     what it is (ClassifierConfig), the image size, its accuracy and how it was trained
head.safetensors    the head
model/              the network as a model folder, which every command takes, whole and as it was behind the tap
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from unetdiff.atomic import replacing_folder
from unetdiff.errors import InputError
from unetdiff.model_folder import ModelInfo, load_model, save_model
from unetdiff.model_info import JSON
from unetdiff.plain import from_plain, to_plain
from unetdiff.probes.fine_tuning.classifier import ClassifierConfig, UNetClassifier
from unetdiff.probes.networks import HEADS
from unetdiff.weight_source import read_json

__all__ = ["load_classifier", "save_classifier"]

CONFIG, HEAD, MODEL = "classifier.json", "head.safetensors", "model"


def save_classifier(folder: Path, classifier: UNetClassifier, info: ModelInfo, facts: Mapping[str, JSON]) -> None:
    """Write it, in float32.

    Args:
        folder: is replaced, if it is there.
        classifier: fine-tuned.
        info: of the model that it was made of.
        facts: accuracy and training, for readers.
    """
    config = classifier.config
    [head] = [name for name, kind in HEADS.items() if isinstance(config.head, kind)]
    described = {**to_plain(config), "head": {"kind": head, **to_plain(config.head)}}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in classifier.head.state_dict().items()}
    told = replace(info, training={**info.training, "fine-tuned": f"to tell {len(config.classes)} classes"})
    with replacing_folder(folder) as staged:
        save_model(staged / MODEL, classifier.denoiser.unet, told)
        save_file(weights, staged / HEAD)
        text = json.dumps({"config": described, **facts}, indent=2)
        (staged / CONFIG).write_text(text + "\n", encoding="utf-8")


def load_classifier(folder: Path, device: torch.device | str = "cpu") -> tuple[UNetClassifier, ModelInfo]:
    """The classifier, in evaluation mode, and the model that it is made of.

    Raises:
        InputError: a file that is missing, damaged, or does not fit.
    """
    described = read_json(folder / CONFIG).get("config", {})
    denoiser, info = load_model(folder / MODEL, device)
    try:
        head = dict(described["head"])
        kind = HEADS[head.pop("kind")]
        config = from_plain(ClassifierConfig, {**described, "head": from_plain(kind, head)})
        classifier = UNetClassifier(denoiser, info.data.shape, config)
        classifier.head.load_state_dict(load_file(folder / HEAD))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: expected a classifier ({CONFIG}, {HEAD}, {MODEL}), got {error}") from error
    return classifier.eval(), info
