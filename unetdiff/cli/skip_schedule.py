"""The schedule over noise levels that an option names."""

import re

from unetdiff.errors import InputError
from unetdiff.preconditioning import Preconditioning
from unetdiff.skips import Constant, Decreasing, Increasing, OverSigma, Window, suited_to

__all__ = ["over_sigma"]


def over_sigma(text: str, preconditioning: Preconditioning) -> OverSigma:
    """Of `constant`, `increasing`, `decreasing`, `auto` (the direction that suits the network) or `window:LO,HI`."""
    if text == "auto":
        return suited_to(preconditioning)
    if window := re.fullmatch(r"window:([^,]+),([^,]+)", text):
        try:
            return Window(sigma_lo=float(window[1]), sigma_hi=float(window[2]))
        except ValueError as error:
            raise InputError(f"sigma: expected window:LO,HI with 0 <= LO < HI, got {text!r}") from error
    named: dict[str, OverSigma] = {"constant": Constant(), "increasing": Increasing(), "decreasing": Decreasing()}
    if text not in named:
        raise InputError(f"sigma: expected one of {', '.join(named)}, auto, window:LO,HI, got {text!r}")
    return named[text]
