"""Learning from a teacher: losses for the training loop that ask another network.

`knowledge` is for a smaller network, such as a pruned one; `progressive` and `consistency` for one that needs fewer
steps.
"""

from unetdiff.distillation.consistency import ConsistencyDistillation
from unetdiff.distillation.distillation import Distillation
from unetdiff.distillation.feature_losses import FeatureLoss, MaskedFeatures, NormalisedFeatures, PlainFeatures
from unetdiff.distillation.knowledge import KnowledgeDistillation
from unetdiff.distillation.pairing import require_alike
from unetdiff.distillation.progressive import ProgressiveDistillation
from unetdiff.distillation.teacher import Teacher

__all__ = [
    "ConsistencyDistillation",
    "Distillation",
    "FeatureLoss",
    "KnowledgeDistillation",
    "MaskedFeatures",
    "NormalisedFeatures",
    "PlainFeatures",
    "ProgressiveDistillation",
    "Teacher",
    "require_alike",
]
