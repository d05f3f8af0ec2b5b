"""Training the classifier: cross-entropy on flipped and shifted real images, SGD with one learning-rate cycle."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader
from tqdm import tqdm

from unetdiff.conditioning.labels import ClassLabels
from unetdiff.data import Batch, PackedDataset, SampleStream
from unetdiff.errors import InputError
from unetdiff.evaluation.classifier import Classifier, ClassifierConfig

__all__ = ["ClassifierTraining", "shifted", "train_classifier"]


@dataclass(frozen=True, kw_only=True)
class ClassifierTraining:
    """How a classifier is trained.

    Attributes:
        epochs: Times that every image is seen.
        batch: Images per optimiser step.
        learning_rate: The highest one of the cycle.
        weight_decay: Of SGD with Nesterov momentum, which falls from 0.95 to 0.85 while the rate rises, and back.
        label_smoothing: Share of the target that is spread over all classes.
        shift: Largest random translation, in pixels.
        seed: Of weights, order, flips and shifts.
    """

    epochs: int = 10
    batch: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    shift: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "learning_rate"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name}: expected more than 0, got {getattr(self, name)}")


def train_classifier(data: PackedDataset, training: ClassifierTraining) -> Classifier:
    """A classifier of `data`; the same one every time on the same machine with the same number of threads."""
    if data.labels is None:
        raise InputError(f"{data.folder}: expected images with labels, got none")
    torch.manual_seed(training.seed)
    shifts = torch.Generator().manual_seed(training.seed)
    classifier = Classifier(ClassifierConfig(in_channels=data.images.shape[1], classes=data.classes))
    steps = max(1, training.epochs * len(data) // training.batch)
    optimizer = SGD(
        classifier.parameters(),
        lr=training.learning_rate,
        momentum=0.9,  # the cycle sets it anew before each step
        nesterov=True,
        weight_decay=training.weight_decay,
    )
    schedule = OneCycleLR(optimizer, max_lr=training.learning_rate, total_steps=steps, pct_start=0.2)
    assert data.labels is not None
    rows = (ClassLabels(data.labels),)
    stream = SampleStream(data, seed=training.seed, global_batch=training.batch, steps=steps, flip=True, rows=rows)
    loader: DataLoader[Batch] = DataLoader(stream, batch_size=None)
    for batch in tqdm(loader, desc="training", unit=" steps", disable=None):
        logits = classifier(shifted(batch.images, training.shift, shifts))
        loss = F.cross_entropy(logits, batch.condition["class_labels"], label_smoothing=training.label_smoothing)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return classifier.eval()


def shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Every image moved by its own whole number of pixels, at most `most` each way; black comes in."""
    count, _, height, width = images.shape
    padded = F.pad(images, (most,) * 4, value=-1.0)
    down, right = torch.randint(2 * most + 1, (2, count, 1), generator=generator)
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    each = torch.arange(count)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1).contiguous()
