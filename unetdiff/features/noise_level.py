"""A noise level as people write it: as sigma, as a log signal-to-noise ratio, or as a network's timestep.

    0.2          sigma
    logsnr:1.5   ln(1 / sigma^2)
    t:150        the number that this network is conditioned on, before any scaling of its own

Timesteps of different schedules are different noise levels; sigma means the same for all.
"""

import math

import torch

from unetdiff.errors import InputError
from unetdiff.preconditioning import X0, Epsilon, Preconditioning, RectifiedFlow, V

__all__ = ["noise_level", "noise_levels"]

FORMS = "a positive number, logsnr:NUMBER or t:TIMESTEP"


def noise_level(text: str, preconditioning: Preconditioning) -> float:
    """Sigma of what `text` says of a network with this preconditioning.

    Raises:
        InputError: none of the three forms, a level that is not positive, or a timestep that the network has not.
    """
    kind, colon, number = text.strip().rpartition(":")
    try:
        match kind + colon:
            case "":
                sigma = float(number)
            case "logsnr:":
                sigma = math.exp(-float(number) / 2)
            case "t:":
                sigma = _of_timestep(float(number), preconditioning)
            case _:
                sigma = math.nan
    except InputError:
        raise
    except (ValueError, OverflowError):
        sigma = math.nan
    if not 0 < sigma < math.inf:
        raise InputError(f"sigma: expected {FORMS}, got {text!r}")
    return sigma


def noise_levels(texts: str, preconditioning: Preconditioning) -> tuple[float, ...]:
    """Of several, separated by commas."""
    return tuple(noise_level(text, preconditioning) for text in texts.split(","))


def _of_timestep(timestep: float, preconditioning: Preconditioning) -> float:
    if isinstance(preconditioning, RectifiedFlow):
        t = timestep / preconditioning.time_scale
        if not 0 < t < 1:
            raise InputError(
                f"sigma: a timestep between 0 and {preconditioning.time_scale:g} expected, got {timestep:g}"
            )
        return t / (1 - t)
    if not isinstance(preconditioning, Epsilon | V | X0):
        kind = type(preconditioning).__name__
        raise InputError(f"sigma: a sigma or logsnr: expected, as a network of kind {kind} has no timesteps, got t:")
    schedule = preconditioning.schedule
    first, last = (float(schedule.timestep(torch.tensor(end, dtype=torch.float64))) for end in schedule.sigma_range)
    if not round(first, 6) <= timestep <= round(last, 6):
        raise InputError(f"sigma: a timestep from {first:g} to {last:g} expected, got {timestep:g}")
    return float(schedule.sigma(torch.tensor(timestep, dtype=torch.float64)))
