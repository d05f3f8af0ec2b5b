"""Options of `unetdiff prune` beside those of the plan."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unetdiff.data.config import Split
from unetdiff.features.settings import ConditionKind
from unetdiff.plain import require

__all__ = ["PruneOptions"]


@dataclass(frozen=True, kw_only=True)
class PruneOptions:
    """What is measured on, and what is written.

    Attributes:
        protect: Patterns of names that stay, separated by commas.
        force: Patterns of names that go in any case, separated by commas.
        plan: A plan.json to carry out as it is; nothing is scored or chosen then.
        split: The part of the images that the network is measured on.
        images: How many of them, taken at random, each with one noise and one noise level.
        condition: What the network is told of each; auto is the class or caption where model and images have them.
        noise_power: Noise levels weigh in scores as sigma to this power; above 0 the high ones weigh more.
        batch_size: Images at a time.
        additivity: Random sets of parts, of each of several sizes, to compare with the sums of their scores.
        plot: Draw that comparison to this file.
        out: Folder for the model, with plan.json in it.
        text_encoder: Folder of the text encoder, if it is not where it was in training.
        codec: Folder of the autoencoder, if it is not where it was in training.
        device: auto is the GPU if there is one.
    """

    protect: str | None = None
    force: str | None = None
    plan: Path | None = None
    split: Split = "train"
    images: int = 128
    condition: Literal["auto"] | ConditionKind = "auto"
    noise_power: float = 0.0
    batch_size: int = 64
    additivity: int = 0
    plot: Path | None = None
    out: Path = Path("pruned")
    text_encoder: str | None = None
    codec: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name in ("images", "batch_size"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        require(self.additivity >= 0, "additivity", "0 or more", self.additivity)
        require(self.plot is None or self.additivity > 0, "plot", "none without additivity", self.plot)
        require(self.plan is None or self.additivity == 0, "additivity", "0 with a plan", self.additivity)
