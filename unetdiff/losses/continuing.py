"""The objective that goes on training a network as it was trained: with the preconditioning that it knows."""

from unetdiff.losses.discrete import EpsilonObjective, VObjective, X0Objective
from unetdiff.losses.edm import EDMObjective
from unetdiff.losses.log_normal import LogNormalObjective
from unetdiff.losses.objective import Objective
from unetdiff.losses.rectified_flow import RectifiedFlowObjective
from unetdiff.losses.weighting import EDMWeighting
from unetdiff.noise import DiscreteSchedule
from unetdiff.preconditioning import EDM, X0, Consistency, Epsilon, Preconditioning, RectifiedFlow, V

__all__ = ["continuing_objective"]


def continuing_objective(preconditioning: Preconditioning) -> Objective:
    """The usual objective of a preconditioning; where there is none, log-normal noise levels."""
    usual = _usual(preconditioning)
    if usual is not None and usual.preconditioning == preconditioning:
        return usual
    return LogNormalObjective(prediction=preconditioning)


def _usual(preconditioning: Preconditioning) -> Objective | None:
    match preconditioning:
        case Consistency(sigma_data=sigma_data):  # 1 / c_out^2 is infinite at its least level, where it is the identity
            return LogNormalObjective(prediction=preconditioning, weighting=EDMWeighting(sigma_data=sigma_data))
        case EDM(sigma_data=sigma_data, sigma_min=sigma_min, sigma_max=sigma_max):
            return EDMObjective(sigma_data=sigma_data, sigma_min=sigma_min, sigma_max=sigma_max)
        case Epsilon(schedule=DiscreteSchedule() as schedule):
            return EpsilonObjective(schedule=schedule)
        case V(schedule=DiscreteSchedule() as schedule):
            return VObjective(schedule=schedule)
        case X0(schedule=DiscreteSchedule() as schedule):
            return X0Objective(schedule=schedule)
        case RectifiedFlow(time_scale=time_scale, t_min=t_min, t_max=t_max):
            return RectifiedFlowObjective(time_scale=time_scale, t_min=t_min, t_max=t_max)
    return None
