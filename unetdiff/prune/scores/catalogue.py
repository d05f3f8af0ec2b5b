"""Every criterion by the name that commands and documents use, with where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass

from unetdiff.prune.scores.feature_cosine import FeatureCosine
from unetdiff.prune.scores.latent_statistics import LatentStatistics
from unetdiff.prune.scores.magnitude import Magnitude
from unetdiff.prune.scores.output_loss import OutputLoss
from unetdiff.prune.scores.score import Score
from unetdiff.prune.scores.task_loss import TaskLoss
from unetdiff.prune.scores.taylor import Taylor

__all__ = ["CRITERIA", "Criterion"]


@dataclass(frozen=True)
class Criterion:
    """A score's class and its source."""

    make: type[Score]
    source: str


CRITERIA: Mapping[str, Criterion] = {
    "output-loss": Criterion(OutputLoss, "Zhang et al. 2024 (LAPTOP-Diff)"),
    "task-loss": Criterion(TaskLoss, "Zhang et al. 2024 (LAPTOP-Diff), which compares to it"),
    "magnitude": Criterion(Magnitude, "Li et al. 2017"),
    "taylor": Criterion(Taylor, "Molchanov et al. 2019, Fang et al. 2023 (Diff-Pruning)"),
    "feature-cosine": Criterion(FeatureCosine, "Men et al. 2024 (ShortGPT)"),
    "latent-statistics": Criterion(LatentStatistics, "Castells et al. 2024 (LD-Pruner)"),
}
