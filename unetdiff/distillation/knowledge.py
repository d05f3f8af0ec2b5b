"""Knowledge distillation: a smaller network learns the task, its teacher's outputs and its teacher's feature maps.

    L = task L_denoising + output mean |F_S - F_T|^2 + features sum_l d(f_S^l, f_T^l)

as in BK-SDM (Kim et al. 2023, equation 2), with d as `unetdiff.distillation.feature_losses` has it; F is the output of
the network itself, in which no noise level dominates. Both see the same noisy images and the same conditions.
"""

from dataclasses import dataclass, field

from torch import Tensor
from typing_extensions import Unpack

from unetdiff.denoiser import Condition, Denoiser, Prediction
from unetdiff.distillation.distillation import Distillation
from unetdiff.distillation.feature_losses import FeatureLoss, NormalisedFeatures
from unetdiff.distillation.pairing import paired
from unetdiff.distillation.teacher import Teacher
from unetdiff.losses import Objective, TrainingLoss, noised, weighted_error
from unetdiff.plain import require

__all__ = ["KnowledgeDistillation", "KnowledgeLoss"]


@dataclass(frozen=True, kw_only=True)
class KnowledgeDistillation(Distillation):
    """`task`, `output` and `features` are the weights of the three terms; 0 leaves one out.

    `feature_loss`: the distance of two feature maps. `nodes`: patterns of the names of the nodes that are compared.
    """

    task: float = 1.0
    output: float = 1.0
    features: float = 1.0
    feature_loss: FeatureLoss = field(default_factory=NormalisedFeatures)
    nodes: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        for name in ("task", "output", "features"):
            require(getattr(self, name) >= 0, f"distill.{name}", "0 or more", getattr(self, name))
        whole = self.task > 0 or self.output > 0
        require(whole, "distill.output", "above 0 where task is 0, so that all weights are trained", self.output)

    def loss(self, student: Denoiser, objective: Objective, teacher: Teacher, average: Teacher) -> TrainingLoss:
        """The sum of the terms."""
        return KnowledgeLoss(self, student, objective, teacher)


class KnowledgeLoss(TrainingLoss):
    """Its terms are `task`, `output` and `features.NODE`, each with its weight."""

    def __init__(
        self, config: KnowledgeDistillation, student: Denoiser, objective: Objective, teacher: Teacher
    ) -> None:
        super().__init__(student, objective)
        self.config, self.teacher = config, teacher
        networks = (student.unet.config, teacher.denoiser.unet.config)
        self.nodes = paired(*networks, config.nodes) if config.features else ()

    def forward(self, images: Tensor, noise: Tensor, sigma: Tensor, **condition: Unpack[Condition]) -> Tensor:
        """The loss of each image: (N,)."""
        x = noised(images, noise, sigma)
        taught = self.teacher.predict(x, sigma, self.nodes, **condition)
        learned = self.denoiser.predict(x, sigma, self.nodes, **condition)
        terms = self._compared(learned, taught)
        if self.config.task:
            error = weighted_error(self.objective, learned.denoised, images, sigma)
            terms = {"task": self.config.task * error, **terms}
        self.terms = {name: term.detach().mean() for name, term in terms.items()}
        return sum(terms.values(), start=images.new_zeros(len(images)))

    def _compared(self, learned: Prediction, taught: Prediction) -> dict[str, Tensor]:
        config = self.config
        terms = {}
        if config.output:
            terms["output"] = config.output * (learned.F - taught.F).square().flatten(1).mean(dim=1)
        for name in self.nodes:
            distance = config.feature_loss(learned.features[name].float(), taught.features[name].float())
            terms[f"features.{name}"] = config.features * distance
        return terms
