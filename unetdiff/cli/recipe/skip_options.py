"""Skip-tuning and FreeU: what is changed where the encoder's feature maps meet the decoder's."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from torch import Tensor

from unetdiff import skips
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.recipe.number_list import read_numbers
from unetdiff.cli.skip_schedule import over_sigma
from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.evaluation.skip_settings import FILE, SkipSetting
from unetdiff.plain import require
from unetdiff.preconditioning import EDM

__all__ = ["SkipOptions"]

FACTORS = "auto, RHO_BOTTOM, RHO_BOTTOM:RHO_TOP, or a factor for each skip with commas between"


@dataclass(frozen=True, kw_only=True)
class SkipOptions:
    """Skip-tuning.

    Attributes:
        skip: Factor on the innermost skip connection, from where the factors rise evenly to 1 at the outermost;
            or 0.8:0.95 for both ends, 0.8,0.9,1 for each skip from the innermost, auto for the best that
            `unetdiff skip-search` found.
        skip_scale: The same factor on every skip connection, instead of skip.
        skip_equal_width: Change only skips as wide as the main path that they join.
        skip_site: The factor acts on the concatenation, on the residual block's shortcut, or on its first norm.
        skip_sigma: Noise levels where the factors act, constant, window:LO,HI, increasing or decreasing between 1 and
            the factor, auto for the direction that suits the model.
        freeu: FreeU instead of or beside it, b1,b2,s1,s2.
    """

    skip: str | None = None
    skip_scale: float = 1.0
    skip_equal_width: bool = False
    skip_site: Literal["concat", "residual", "norm"] = "concat"
    skip_sigma: str = "constant"
    freeu: str | None = None

    def __post_init__(self) -> None:
        require(self.skip is None or self.skip_scale == 1, "skip_scale", "1 beside --skip", self.skip_scale)
        self._over_skips()
        self._free_u()
        over_sigma(self.skip_sigma, EDM())

    def tuned(self, denoiser: Denoiser) -> Callable[..., Tensor]:
        """The denoiser with the skips changed; itself where nothing is.

        Raises:
            ValueError: a schedule that does not fit the network's skips.
        """
        over_skips, free_u = self._over_skips(), self._free_u()
        network: Callable[..., Tensor] = denoiser
        if over_skips is not None:
            over_skips.factors(denoiser.unet.config)  # so that a wrong number of them is refused here
            at_levels = over_sigma(self.skip_sigma, denoiser.preconditioning)
            network = skips.skip_tuned(denoiser, over_skips, at_levels, self.skip_site)
        return network if free_u is None else partial(network, join=free_u)

    def resolved(self, model: LoadedModel, sampler: str, calls: int) -> "SkipOptions":
        """With the factors that "auto" means: those found for the model at the nearest number of network calls.

        Raises:
            InputError: no search was made, or not with these weights and this sampler.
        """
        if self.skip != "auto":
            return self
        file = model.folder / FILE
        if not file.is_file():
            raise InputError(f"skip: {file} expected, which `unetdiff skip-search` writes, got nothing of that name")
        found = [setting for setting in SkipSetting.read(file, model.weights) if setting.sampler == sampler]
        if not found:
            raise InputError(
                f"skip: settings for the sampler {sampler} and the weights {model.weights} expected in {file}, got none"
            )
        best = min(found, key=lambda setting: abs(setting.calls - calls))
        return replace(self, skip=f"{best.rho_bottom}:{best.rho_top}", skip_site=best.site, skip_sigma=best.sigma)

    def _over_skips(self) -> skips.OverSkips | None:
        schedule: skips.OverSkips
        if self.skip is None:
            if self.skip_scale == 1:
                return None
            schedule = skips.Uniform(rho=self.skip_scale)
        elif self.skip == "auto":
            return None
        elif "," in self.skip:
            schedule = skips.Listed(rhos=read_numbers(self.skip, "skip", FACTORS))
        else:
            ends = self.skip.replace(":", ",") if ":" in self.skip else f"{self.skip},1"
            rho_bottom, rho_top = read_numbers(ends, "skip", FACTORS, count=2)
            schedule = skips.Linear(rho_bottom=rho_bottom, rho_top=rho_top)
        return skips.EqualWidth(schedule=schedule) if self.skip_equal_width else schedule

    def _free_u(self) -> skips.FreeU | None:
        if self.freeu is None:
            return None
        b1, b2, s1, s2 = read_numbers(self.freeu, "freeu", "four factors, b1,b2,s1,s2", count=4)
        return skips.FreeU(b1=b1, b2=b2, s1=s1, s2=s2)
