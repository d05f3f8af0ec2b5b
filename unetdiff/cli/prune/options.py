"""Options of `unetdiff prune` beside those of the plan."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from unetdiff.cli.device import DeviceName
from unetdiff.data.config import Split
from unetdiff.errors import InputError
from unetdiff.features.settings import ConditionKind
from unetdiff.plain import require
from unetdiff.prune.planning import PlanConfig

__all__ = ["PruneOptions", "ScoringOptions", "require_new"]


@dataclass(frozen=True, kw_only=True)
class ScoringOptions:
    """Which parts may be chosen, and what they are measured on.

    Attributes:
        protect: Patterns of names that stay, separated by commas.
        force: Patterns of names that go in any case, separated by commas.
        split: The part of the images that the network is measured on.
        images: How many of them, taken at random, each with one noise and one noise level.
        condition: What the network is told of each; auto is the class or caption where model and images have them.
        noise_power: Noise levels weigh in scores as sigma to this power; above 0 the high ones weigh more.
        batch_size: Images at a time.
        text_encoder: Folder of the text encoder, if it is not where it was in training.
        codec: Folder of the autoencoder, if it is not where it was in training.
        device: auto is the GPU if there is one.
    """

    protect: str | None = None
    force: str | None = None
    split: Split = "train"
    images: int = 128
    condition: Literal["auto"] | ConditionKind = "auto"
    noise_power: float = 0.0
    batch_size: int = 64
    text_encoder: str | None = None
    codec: str | None = None
    device: DeviceName = "auto"

    def __post_init__(self) -> None:
        for name in ("images", "batch_size"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))

    def with_patterns(self, config: PlanConfig) -> PlanConfig:
        """The settings of a plan with what stays and what goes in any case."""
        return replace(config, protect=_patterns(self.protect), force=_patterns(self.force))


@dataclass(frozen=True, kw_only=True)
class PruneOptions:
    """What is done with the scores, and what is written.

    Attributes:
        plan: A plan.json to carry out as it is; nothing is scored or chosen then.
        additivity: Random sets of parts, of each of several sizes, to compare with the sums of their scores.
        plot: Draw that comparison to this file.
        out: Folder for the model, with plan.json in it.
    """

    plan: Path | None = None
    additivity: int = 0
    plot: Path | None = None
    out: Path = Path("pruned")

    def __post_init__(self) -> None:
        require(self.additivity >= 0, "additivity", "0 or more", self.additivity)
        require(self.plot is None or self.additivity > 0, "plot", "none without additivity", self.plot)
        require(self.plan is None or self.additivity == 0, "additivity", "0 with a plan", self.additivity)


def require_new(out: Path) -> None:
    """Refuse to write where something is.

    Raises:
        InputError: a file, or a folder with something in it.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise InputError(f"{out}: a new or empty folder expected, got {'a file' if out.is_file() else 'a full one'}")


def _patterns(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(text.split(","))
