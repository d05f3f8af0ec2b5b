"""EDM's four preconditioning classes, which wrap its networks, as ours (Karras et al. 2022, table 1)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from unetdiff.model_info import JSON
from unetdiff.noise import IDDPMSchedule, VPSchedule
from unetdiff.plain import from_plain, require
from unetdiff.preconditioning import EDM, VE, Epsilon, Preconditioning

__all__ = ["Wrapper", "edm_wrapper"]


@dataclass(frozen=True, kw_only=True)
class Wrapper:
    """What there is to know about a class: its `numbers` in the order of its arguments, and what they make of ours.

    `model_type` is the network that it wraps if not told otherwise.
    """

    numbers: tuple[str, ...]
    model_type: str
    preconditioning: Callable[[Mapping[str, JSON]], Preconditioning]

    def split(self, positional: Sequence[JSON], named: Mapping[str, JSON]) -> tuple[dict[str, JSON], Preconditioning]:
        """The arguments of a constructor's call, as those of the network and the preconditioning."""
        names = ("img_resolution", "img_channels", "label_dim", "use_fp16", *self.numbers, "model_type")
        arguments = {"model_type": self.model_type, **dict(zip(names, positional, strict=False)), **named}
        arguments.pop("use_fp16", None)  # how to compute, not what
        numbers = {name: arguments.pop(name) for name in self.numbers if name in arguments}
        return arguments, self.preconditioning(numbers)


def _vp(numbers: Mapping[str, JSON]) -> Preconditioning:
    return Epsilon(schedule=from_plain(VPSchedule, numbers, "VPPrecond"))


def _ve(numbers: Mapping[str, JSON]) -> Preconditioning:
    return from_plain(VE, numbers, "VEPrecond")


def _iddpm(numbers: Mapping[str, JSON]) -> Preconditioning:
    return Epsilon(schedule=from_plain(IDDPMSchedule, numbers, "iDDPMPrecond"))


def _edm(numbers: Mapping[str, JSON]) -> Preconditioning:
    """A least sigma of 0 and a greatest of infinity mean no bound; sampling then takes the usual range."""
    bounds = {name: value for name, value in numbers.items() if value not in (0, math.inf)}
    return from_plain(EDM, bounds, "EDMPrecond")


_WRAPPERS = {
    "VPPrecond": Wrapper(numbers=("beta_d", "beta_min", "M", "epsilon_t"), model_type="SongUNet", preconditioning=_vp),
    "VEPrecond": Wrapper(numbers=("sigma_min", "sigma_max"), model_type="SongUNet", preconditioning=_ve),
    "iDDPMPrecond": Wrapper(numbers=("C_1", "C_2", "M"), model_type="DhariwalUNet", preconditioning=_iddpm),
    "EDMPrecond": Wrapper(
        numbers=("sigma_min", "sigma_max", "sigma_data"), model_type="DhariwalUNet", preconditioning=_edm
    ),
}


def edm_wrapper(name: str) -> Wrapper:
    """The class of that name.

    Raises:
        ValueError: no such class.
    """
    require(name in _WRAPPERS, "preconditioning", f"one of {list(_WRAPPERS)}", name)
    return _WRAPPERS[name]
