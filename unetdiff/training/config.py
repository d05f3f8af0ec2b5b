"""What a training run is, as data: `TrainConfig` is everything that `config.yaml` of a run folder holds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unetdiff.conditioning.augmentation import Augmentation
from unetdiff.conditioning.concat import Concat
from unetdiff.conditioning.text_encoder import TextConfig
from unetdiff.config import UNetConfig
from unetdiff.data.config import DataConfig, Split
from unetdiff.distillation import Distillation
from unetdiff.latent_images import LatentsConfig
from unetdiff.lora import LoraConfig
from unetdiff.losses import EDMObjective, Objective
from unetdiff.plain import require
from unetdiff.training.averages import EMA, PowerEMA, WarmupEMA

__all__ = ["OptimizerConfig", "PreviewConfig", "Tracker", "TrainConfig", "ValidationConfig"]

Tracker = Literal["tensorboard", "wandb", "trackio"]


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019), with a learning rate counted in optimiser steps.

    `adamw8bit` keeps AdamW's moments in eight bits; it needs bitsandbytes.
    The rate rises linearly over `warmup_steps` and then falls to zero at the end of the run (`decay`). `weight_decay`
    applies to weight matrices and kernels alone. `clip_norm` bounds the norm of the whole gradient; null: no bound.
    """

    kind: Literal["adam", "adamw", "adamw8bit"] = "adamw"
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    warmup_steps: int = 0
    decay: Literal["none", "linear", "cosine"] = "none"
    clip_norm: float | None = 1.0

    def __post_init__(self) -> None:
        require(self.lr > 0, "optimizer.lr", "a positive number", self.lr)
        require(all(0 <= beta < 1 for beta in self.betas), "optimizer.betas", "two numbers in [0, 1)", self.betas)
        require(self.eps > 0, "optimizer.eps", "a positive number", self.eps)
        require(self.weight_decay >= 0, "optimizer.weight_decay", "0 or more", self.weight_decay)
        require(self.warmup_steps >= 0, "optimizer.warmup_steps", "0 or more", self.warmup_steps)
        bounded = self.clip_norm is None or self.clip_norm > 0
        require(bounded, "optimizer.clip_norm", "a positive number or null", self.clip_norm)


@dataclass(frozen=True, kw_only=True)
class PreviewConfig:
    """A grid of samples from the averaged weights, drawn with the same seeds every `every` steps (0: never).

    Each row shows a class, or one of `prompts` (some captions of the data without them); seeds count up from `seed`.
    `neighbours`: a second picture shows each sample beside the training image that is nearest to it, and how many are
    copies is measured.
    """

    every: int = 1000
    rows: int = 10
    columns: int = 8
    steps: int = 18
    seed: int = 0
    prompts: tuple[str, ...] = ()
    neighbours: bool = True

    def __post_init__(self) -> None:
        require(self.every >= 0, "preview.every", "0 or more", self.every)
        for name in ("rows", "columns", "steps"):
            require(getattr(self, name) >= 1, f"preview.{name}", "a positive number", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """The loss of held-out images, measured every `every` steps (0: never) with the same noise every time.

    `images` of them, drawn by `seed`, are seen at `sigmas` noise levels: quantiles of those of training, so that the
    mean compares with the training loss. They are the `split` of `source`; without a source the test part of
    data.source, or none where it has no such part: no image is taken away from training.
    """

    every: int = 1000
    images: int = 256
    sigmas: int = 8
    seed: int = 0
    source: str | None = None
    split: Split = "test"

    def __post_init__(self) -> None:
        for name in ("every", "seed"):
            require(getattr(self, name) >= 0, f"validation.{name}", "0 or more", getattr(self, name))
        for name in ("images", "sigmas"):
            require(getattr(self, name) >= 1, f"validation.{name}", "a positive number", getattr(self, name))
        held_out = self.source is not None or self.split == "test"
        require(held_out, "validation.split", "test, where validation.source is left out", self.split)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run. All counts are in optimiser steps, each over `batch_size` images of all processes together.

    What the network is told beside the noise level: its classes and vectors are those of `model`, captions come with
    `text`, what was done to an image with `augment`, a small or incomplete picture with `concat`, for super-resolution
    and inpainting. With `latents` it learns those of the images.

    `accumulation`: a process takes its share of a batch in that many parts. `ema`: the averages of the weights, one of
    which the model folder holds. `condition_dropout`: share of images that train without class, text and vector, all
    together (for classifier-free guidance). `checkpoint_every` 0: only at the end; `keep_checkpoints` is how many stay.
    `on_nonfinite`: where a loss or gradient is not finite, stop, go on without that step, or from the last checkpoint.
    `tf32`: float32 products of NVIDIA GPUs with 10 bits of mantissa instead of 23, convolutions too. `trackers` are
    given what goes to metrics.jsonl and samples/, for their project `project`.

    `init`: a network to start from, in a model, run or pipeline folder or on the hub. `lora`: train adapters of it, and
    nothing else. `freeze`: patterns of the names of nodes or parameters that are not trained. `distill`: a teacher to
    learn from, and how.
    """

    out: Path
    data: DataConfig
    model: UNetConfig
    text: TextConfig | None = None
    augment: Augmentation | None = None
    concat: Concat | None = None
    latents: LatentsConfig | None = None
    init: str | None = None
    lora: LoraConfig | None = None
    freeze: tuple[str, ...] = ()
    distill: Distillation | None = None
    objective: Objective = field(default_factory=EDMObjective)
    optimizer: OptimizerConfig = OptimizerConfig()
    ema: EMA = field(default_factory=WarmupEMA)
    preview: PreviewConfig = PreviewConfig()
    validation: ValidationConfig = ValidationConfig()
    trackers: tuple[Tracker, ...] = ()
    project: str = "unetdiff"
    seed: int = 0
    steps: int = 100_000
    batch_size: int = 128
    accumulation: int = 1
    condition_dropout: float = 0.1
    num_workers: int = 1
    log_every: int = 50
    checkpoint_every: int = 1000
    keep_checkpoints: int = 2
    on_nonfinite: Literal["stop", "skip", "rollback"] = "stop"
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    tf32: bool = True
    compile: bool = False
    gradient_checkpointing: bool = False
    channels_last: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "log_every", "keep_checkpoints"):
            require(getattr(self, name) >= 1, name, "a positive number", getattr(self, name))
        for name in ("seed", "num_workers", "checkpoint_every"):
            require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        require(0 <= self.condition_dropout <= 1, "condition_dropout", "a probability", self.condition_dropout)
        pixels = self.latents is None or not (self.data.flip or self.augment)
        require(pixels, "latents", "null with data.flip or augment, which change pictures", self.latents)
        require(self.latents is None or self.concat is None, "concat", "null with latents", self.concat)
        warmup = self.optimizer.warmup_steps
        require(warmup < self.steps, "optimizer.warmup_steps", f"fewer than the run's {self.steps} steps", warmup)
        divides = self.batch_size % self.accumulation == 0
        require(divides, "accumulation", f"a divisor of batch_size {self.batch_size}", self.accumulation)
        contiguous = not (self.channels_last and self.optimizer.kind == "adamw8bit")
        require(contiguous, "channels_last", "false with adamw8bit, which lays weights out its own way", True)
        plain = self.distill is None or self.objective.uncertainty is None
        require(plain, "objective.uncertainty", "null with distill, whose terms have fixed weights", self.objective)
        self._check_lora()

    def _check_lora(self) -> None:
        if self.lora is None:
            return
        require(self.init is not None, "init", "a network for lora to adapt", self.init)
        require(not self.freeze, "freeze", "nothing with lora, which trains its adapters alone", self.freeze)
        stores = isinstance(self.ema, PowerEMA) and self.ema.snapshot_every > 0
        require(not stores, "ema.snapshot_every", "0 with lora, whose averages cannot be combined", self.ema)
