"""What is recorded about a run: the lines of `metrics.jsonl`, each an object with its `kind` and its `step`.

    {"kind": "train", "step": 50, "loss": 0.41, "lr": 0.0002, "grad_norm": 1.3, ...}
    {"kind": "validation", "step": 1000, "loss": {"weights": 0.2, "ema": 0.19}, "loss_by_sigma": {...}, ...}
    {"kind": "nonfinite", "step": 1234, "action": "skipped", "found": "the output of conv_out", "images": 1, ...}
    {"kind": "memorisation", "step": 1000, "samples": 80, "memorised": 0.0, "nearest_distance": 0.09, ...}

Losses, gradient norms and learning rates are those of all processes together, and the same whatever their number, up to
rounding. So are images per second; waiting for data and memory are the main process's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

__all__ = ["MemorisationRecord", "NonFiniteRecord", "Record", "TrainRecord", "ValidationRecord"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """Something known after `step` optimiser steps."""

    kind: ClassVar[str]
    step: int


@dataclass(frozen=True, kw_only=True)
class TrainRecord(Record):
    """The steps since the last record of this kind.

    Attributes:
        loss: Mean over the steps.
        lr: Learning rate of the last step.
        grad_norm: Mean norm of the gradient before clipping; null where fp16 overflowed.
        images_per_s: Training images, without validation, previews and checkpoints.
        step_seconds: Mean time of a step.
        data_wait_share: Part of that time spent waiting for images.
        seconds: Time in steps since the beginning of the run.
        peak_memory_mib: Most memory that the process ever had (resident set), without its data workers.
        peak_device_memory_mib: Most memory that tensors ever had on the GPU; null without one.
        terms: What the loss is the sum of, each with its weight: means over the steps, by name; empty where it is one
            thing.
    """

    kind = "train"
    loss: float
    lr: float
    grad_norm: float | None
    images_per_s: float
    step_seconds: float
    data_wait_share: float
    seconds: float
    peak_memory_mib: float
    peak_device_memory_mib: float | None
    terms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NonFiniteRecord(Record):
    """A step in which no update was made, as its loss or gradient was not finite.

    Attributes:
        action: What was done about it.
        found: Where the numbers broke first; null where they were finite when they were computed again.
        images: How many images of that micro-batch are concerned.
        samples: Their global sample indices.
        sigmas: Their noise levels.
    """

    kind = "nonfinite"
    action: str
    found: str | None
    images: int
    samples: tuple[int, ...]
    sigmas: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ValidationRecord(Record):
    """The denoising loss of images that were held out, the same with the same noise every time.

    `weights` are those of training, the other names the averages of the checkpoint's files.

    Attributes:
        images: Number of images; each is seen at every noise level.
        loss: Mean over images and noise levels, by weights.
        loss_by_sigma: Mean over images, by weights and noise level.
    """

    kind = "validation"
    images: int
    loss: Mapping[str, float]
    loss_by_sigma: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class MemorisationRecord(Record):
    """How near the preview's samples are to training images (`unetdiff.evaluation.memorisation`).

    The `held_out_` figures are those of real images that were held out, which a perfect model's samples would share;
    null where there are none.

    Attributes:
        samples: Number of samples.
        memorised: Share of the samples that count as copies.
        nearest_distance: Median over samples of the root mean square difference to the nearest training image, where 1
            is the range of pixels.
        nearest_ratio: Median of l; a copy is below 1.
        held_out_memorised: `memorised` of held-out images.
        held_out_distance: `nearest_distance` of held-out images.
        held_out_ratio: `nearest_ratio` of held-out images.
    """

    kind = "memorisation"
    samples: int
    memorised: float
    nearest_distance: float
    nearest_ratio: float
    held_out_memorised: float | None
    held_out_distance: float | None
    held_out_ratio: float | None
