"""Training a U-Net and the head on it together: the network slower than the head, and parts of it not at all."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from unetdiff.data.keyed import Purpose, keyed
from unetdiff.features.network_images import NetworkImages
from unetdiff.name_patterns import matching
from unetdiff.plain import require
from unetdiff.probes.fine_tuning.classifier import UNetClassifier
from unetdiff.probes.fitting import Course, Group, Training, fit_network
from unetdiff.probes.rows import Indices
from unetdiff.probes.task import Task

__all__ = ["FineTuning", "LabelledImages", "fine_tune"]


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How a classifier is trained.

    Attributes:
        training: Of both; its learning rate is the head's.
        unet_rate: The network's learning rate, over the head's.
        freeze: Patterns of names in the network: what stays as it is, as `freeze` of training has them.
    """

    training: Training = field(default_factory=Training)
    unet_rate: float = 0.1
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(
            self.unet_rate > 0, "unet_rate", "more than 0 (what stays as it is, is named by freeze)", self.unet_rate
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledImages:
    """Images with their labels, as the classifier takes them.

    In training, noise and flips of an image are drawn anew in each epoch. Where it judges, an image has the noise that
    the extraction of features gives it under this seed.

    Attributes:
        images: In the network's range of values.
        labels: (N,)
        sigma: The noise level, 0 for clean images.
        seed: Of noise and flips.
        flip: Mirror half of the images in training.
    """

    images: NetworkImages
    labels: Indices
    sigma: float
    seed: int = 0
    flip: bool = False

    def batch(self, rows: Indices, epoch: int | None) -> tuple[Tensor, Tensor]:
        """Images and labels."""
        x = self.images(rows)
        draws = [keyed(self.seed, (epoch or 0) * len(self.labels) + int(row), Purpose.FEATURES) for row in rows]
        shape = tuple(x.shape[1:])
        noise = torch.from_numpy(np.stack([draw.standard_normal(shape, dtype=np.float32) for draw in draws]))
        if self.flip and epoch is not None:
            mirrored = torch.tensor([draw.random() < 0.5 for draw in draws], device=x.device)
            x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
        return x + self.sigma * noise.to(x.device), torch.from_numpy(self.labels[rows]).to(x.device)


def fine_tune(classifier: UNetClassifier, examples: LabelledImages, task: Task, settings: FineTuning) -> Course:
    """Train a classifier in place; what it freezes has no `requires_grad` afterwards.

    Raises:
        InputError: a pattern of `freeze` that means nothing, or a loss that is not finite.
    """
    unet = classifier.denoiser.unet
    for name in matching([name for name, _ in unet.named_parameters()], settings.freeze, "freeze"):
        unet.get_parameter(name).requires_grad_(False)
    groups = [Group(list(classifier.head.parameters()), 1.0), Group(_tuned(classifier, examples), settings.unet_rate)]
    return fit_network(classifier, examples, settings.training, kept=task.kept, held_out=task.held_out, groups=groups)


def _tuned(classifier: UNetClassifier, examples: LabelledImages) -> Sequence[nn.Parameter]:
    """Parameters of the network that are not frozen and that the feature map depends on; the others are frozen now."""
    named = dict(classifier.denoiser.unet.named_parameters())
    for name, parameter in named.items():
        if name.startswith("class_embedding."):  # weight decay would shrink the classes that it is never told
            parameter.requires_grad_(False)
    tuned = [parameter for parameter in named.values() if parameter.requires_grad]
    if not tuned:
        return ()
    x, _ = examples.batch(np.zeros(1, dtype=np.int64), None)
    gradients = torch.autograd.grad(classifier.feature_map(x).sum(), tuned, allow_unused=True)
    for parameter, gradient in zip(tuned, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)
    return [parameter for parameter in tuned if parameter.requires_grad]
