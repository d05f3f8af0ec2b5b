"""The noise levels to walk: a grid, restarts, churn."""

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

from torch import Tensor

import samplers
from unetdiff.cli.recipe.accepted import require_accepted, require_known
from unetdiff.cli.recipe.number_list import read_numbers
from unetdiff.plain import require
from unetdiff.preconditioning import Preconditioning

__all__ = ["LevelOptions"]

LISTS = {"AYS_SD": samplers.AYS_SD, "AYS_SDXL": samplers.AYS_SDXL, "AYS_SVD": samplers.AYS_SVD}
OF_EVERY_GRID = ("steps", "grid", "restarts", "churn")


@dataclass(frozen=True, kw_only=True)
class LevelOptions:
    """Noise levels.

    Attributes:
        steps: Steps of the sampler, restarts not counted.
        grid: A name of the list below; behind it the options that it takes of those that follow.
        sigma_min: Lowest noise level before 0; the model's own without it.
        sigma_max: Noise level at the start; the model's own without it.
        rho: How much finer the steps get towards low noise.
        spacing: Which timesteps are taken.
        offset: What is added to the leading timesteps.
        beta_d: Slope of beta.
        beta_min: Beta at time 0.
        eps_s: Least time.
        levels: AYS_SD, AYS_SDXL, AYS_SVD, or falling noise levels with commas between.
        restarts: Where to go back up with fresh noise, such as '[{t_min: 0.06, t_max: 0.3, K: 4, steps: 5}]'.
        churn: Fresh noise before each step (EDM, algorithm 2), such as --churn.S_churn 40.
    """

    steps: int = 18
    grid: str = "karras"
    sigma_min: float | None = None
    sigma_max: float | None = None
    rho: float | None = None
    spacing: Literal["leading", "linspace", "trailing"] | None = None
    offset: int | None = None
    beta_d: float | None = None
    beta_min: float | None = None
    eps_s: float | None = None
    levels: str | None = None
    restarts: tuple[samplers.Restart, ...] = ()
    churn: samplers.Churn | None = None

    def __post_init__(self) -> None:
        require(self.steps >= 1, "steps", "at least 1", self.steps)
        require_known("grid", self.grid, samplers.GRIDS)
        require_accepted(self._given(), self.options_of(self.grid), f"the grid {self.grid}")
        require(self.levels is not None or self.grid != "given", "levels", "a list of the grid given", None)

    def falling(self, preconditioning: Preconditioning) -> Tensor:
        """The grid, without its restarts.

        Raises:
            ValueError: a value that the grid cannot take, or timesteps asked of a model that has none.
        """
        wanted = inspect.signature(samplers.GRIDS[self.grid].make).parameters
        from_model = {name: value for name, value in _of_model(preconditioning).items() if name in wanted}
        needs_table = "table" in wanted and "table" not in from_model
        require(not needs_table, "grid", "another one for a model without a table of timesteps", self.grid)
        given: dict[str, object] = self._given()
        if self.levels is not None:
            given["levels"] = _listed(self.levels)
        return samplers.GRIDS[self.grid].make(n=self.steps, **(from_model | given))

    def resolved(self, preconditioning: Preconditioning) -> "LevelOptions":
        """With every option that the grid has."""
        wanted = inspect.signature(samplers.GRIDS[self.grid].make).parameters
        options = self.options_of(self.grid)
        usual = {name: wanted[name].default for name in options if wanted[name].default is not inspect.Parameter.empty}
        from_model = {name: value for name, value in _of_model(preconditioning).items() if name in options}
        return replace(self, **(usual | from_model | self._given()))

    def _given(self) -> dict[str, object]:
        options = {name: value for name, value in asdict(self).items() if name not in OF_EVERY_GRID}
        return {name: value for name, value in options.items() if value is not None}

    @staticmethod
    def options_of(name: str) -> list[str]:
        """The options of a grid."""
        return [name for name in inspect.signature(samplers.GRIDS[name].make).parameters if name not in ("n", "table")]


def _of_model(preconditioning: Preconditioning) -> Mapping[str, object]:
    """What a grid may want to know of a model."""
    lowest, highest = preconditioning.sigma_range
    table = getattr(getattr(preconditioning, "schedule", None), "sigmas", None)
    known = {"sigma_min": lowest, "sigma_max": highest, "table": table}
    return {name: value for name, value in known.items() if value is not None}


def _listed(levels: str) -> tuple[float, ...]:
    return LISTS.get(levels) or read_numbers(levels, "levels", f"one of {', '.join(LISTS)}, or noise levels", None)
