"""A small convolutional classifier, for judging class-conditional samples.

image -> 3x3 convolutions with batch norm and ReLU, the side halved from level to level -> mean over pixels -> features
-> logits. Trained on real images, it tells which class a generated one shows; its features are a space in which
distances between sets of images can be measured.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unetdiff.atomic import replacing_folder
from unetdiff.errors import InputError

__all__ = ["Classifier", "ClassifierConfig", "load_classifier", "save_classifier"]

SHIPPED = Path(__file__).parents[1] / "assets" / "fashion-mnist-classifier"
WEIGHTS, CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Image channels, class names in the order of their labels, and the width of every level."""

    in_channels: int
    classes: tuple[str, ...]
    widths: tuple[int, ...] = (32, 64, 128)

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise InputError(f"classes: expected at least 2, got {len(self.classes)}")
        if not self.widths or min(self.widths) < 1:
            raise InputError(f"widths: expected one positive width a level, got {self.widths}")


class Classifier(nn.Module):
    """Images (N,C,H,W) in [-1, 1] of any size -> logits (N, classes)."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = nn.Sequential(_convolution(config.in_channels, config.widths[0]))
        for narrow, wide in zip(config.widths, config.widths[1:], strict=False):
            self.trunk.extend([_convolution(narrow, wide, stride=2), _convolution(wide, wide)])
        self.head = nn.Linear(config.widths[-1], len(config.classes))

    def features(self, images: Tensor) -> Tensor:
        """(N, widths[-1]): the last level, averaged over pixels."""
        pixels: Tensor = self.trunk(images)
        return pixels.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """(N, classes), unnormalised log-probabilities."""
        logits: Tensor = self.head(self.features(images))
        return logits


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


def save_classifier(
    folder: Path, classifier: Classifier, test_accuracy: float, training: Mapping[str, int | float | str]
) -> None:
    """Write half-precision weights and config.json, which also states the accuracy and how it was reached."""
    weights = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in classifier.state_dict().items()
    }
    facts = {"config": asdict(classifier.config), "test_accuracy": test_accuracy, "training": dict(training)}
    with replacing_folder(folder) as staged:
        save_file(weights, staged / WEIGHTS)
        (staged / CONFIG).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def load_classifier(folder: Path | None = None) -> tuple[Classifier, float]:
    """The classifier, in evaluation mode and float32, with its test accuracy; the shipped one for Fashion-MNIST."""
    folder = folder or SHIPPED
    try:
        facts = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config = facts["config"]
        classifier = Classifier(
            ClassifierConfig(
                in_channels=config["in_channels"], classes=tuple(config["classes"]), widths=tuple(config["widths"])
            )
        )
        classifier.load_state_dict(load_file(folder / WEIGHTS))
        return classifier.eval(), float(facts["test_accuracy"])
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: expected a classifier ({CONFIG}, {WEIGHTS}), got {error}") from error
