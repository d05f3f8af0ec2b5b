"""Training objectives: which noise levels a denoiser sees, and what an error weighs at each.

An `Objective` is a preconditioning, a quantile function of the noise level and a weight; `denoising_loss` is the
squared error that all of them share.
"""

from unetdiff.losses.continuing import continuing_objective
from unetdiff.losses.denoising import DenoisingLoss, denoising_loss, noised, weighted_error
from unetdiff.losses.discrete import DiscreteObjective, EpsilonObjective, VObjective, X0Objective
from unetdiff.losses.edm import EDMObjective
from unetdiff.losses.log_normal import LogNormalObjective
from unetdiff.losses.objective import Objective
from unetdiff.losses.rectified_flow import LogitNormal, RectifiedFlowObjective, Times, Uniform
from unetdiff.losses.training_loss import TrainingLoss
from unetdiff.losses.uncertainty import LogVariance, Uncertainty
from unetdiff.losses.weighting import EDMWeighting, MinSNR, SoftMinSNR, Weighting

__all__ = [
    "DenoisingLoss",
    "DiscreteObjective",
    "EDMObjective",
    "EDMWeighting",
    "EpsilonObjective",
    "LogNormalObjective",
    "LogVariance",
    "LogitNormal",
    "MinSNR",
    "Objective",
    "RectifiedFlowObjective",
    "SoftMinSNR",
    "Times",
    "TrainingLoss",
    "Uncertainty",
    "Uniform",
    "VObjective",
    "Weighting",
    "X0Objective",
    "continuing_objective",
    "denoising_loss",
    "noised",
    "weighted_error",
]
