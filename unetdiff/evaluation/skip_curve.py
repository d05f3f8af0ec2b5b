"""The kernel distance over rho, of one sampler with one number of steps, and what it says about the best rho."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

import samplers
from unetdiff.evaluation.distances import Distance, Estimate
from unetdiff.evaluation.generated import FeatureMaker, Rows, content_key, kept
from unetdiff.evaluation.skip_search import PLAIN, best, rho_curve
from unetdiff.evaluation.skip_settings import SkipSetting
from unetdiff.nn.skip import SkipSite
from unetdiff.plain import to_plain
from unetdiff.skips import Linear, OverSigma, skip_tuned

__all__ = ["SkipCurve", "SkipCurves"]


@dataclass(frozen=True, kw_only=True)
class SkipCurve:
    """What was measured.

    Attributes:
        sampler: by its name in `samplers.SAMPLERS`.
        steps: of the Karras grid.
        calls: network calls for an image.
        distances: by rho_bottom, ascending, on the seeds that chose `least`.
        least: the rho_bottom of least distance.
        plain: distance at rho 1 on other seeds.
        tuned: distance at `least` on those.
    """

    sampler: str
    steps: int
    calls: int
    distances: Mapping[float, Estimate]
    least: float
    plain: Estimate
    tuned: Estimate

    @property
    def gain(self) -> Estimate:
        """How much nearer to the real images skip-tuning brings."""
        return self.plain - self.tuned

    @property
    def helps(self) -> bool:
        """Whether that is more than noise."""
        return self.gain.resolved and self.gain.value > 0

    @property
    def chosen(self) -> float:
        """The rho_bottom to sample with: 1 unless another one helps."""
        return self.least if self.helps else PLAIN

    def setting(self, *, site: SkipSite, sigma: str, n: int, weights: str) -> SkipSetting:
        """To sample with, when the factors acted there and at these noise levels, on `n` images of a model."""
        distance = self.tuned if self.helps else self.plain
        return SkipSetting(
            sampler=self.sampler,
            steps=self.steps,
            calls=self.calls,
            rho_bottom=self.chosen,
            rho_top=PLAIN,
            site=site,
            sigma=sigma,
            distance=distance.value,
            plain_distance=self.plain.value,
            standard_error=distance.standard_error,
            gain_error=self.gain.standard_error,
            n=n,
            weights=weights,
        )


@dataclass(frozen=True, kw_only=True)
class SkipCurves:
    """Measures curves with `count` images a point, and as many to confirm; their features are kept in `folder`."""

    maker: FeatureMaker
    distance: Distance
    folder: Path
    count: int
    over_sigma: OverSigma
    site: SkipSite

    def measure(self, sampler: str, steps: int, rhos: Sequence[float], refinements: int) -> SkipCurve:
        """Search with the seeds below `count`; measure what was found, and rho 1, with the next `count` seeds."""

        def distance(rho: float) -> Estimate:
            return self.distance(self._features(sampler, steps, rho, self.count))

        def confirmed(rho: float) -> Estimate:
            return self.distance(self._features(sampler, steps, rho, 2 * self.count)[self.count :])

        distances = rho_curve(distance, rhos, refinements)
        least = best(distances)
        return SkipCurve(
            sampler=sampler,
            steps=steps,
            calls=samplers.SAMPLERS[sampler].make().network_calls(self._sigmas(steps)),
            distances=distances,
            least=least,
            plain=confirmed(PLAIN),
            tuned=confirmed(least),
        )

    def _features(self, sampler: str, steps: int, rho: float, count: int) -> Rows:
        denoise = skip_tuned(self.maker.denoiser, Linear(rho_bottom=rho), self.over_sigma, self.site)
        schedule = [type(self.over_sigma).__name__, to_plain(self.over_sigma), self.site]
        content = [self.maker.content(), sampler, steps, rho, schedule if rho != PLAIN else None]
        path = self.folder / f"{sampler}-{steps}-{rho:g}-{content_key(content)}.npy"
        solver, sigmas = samplers.SAMPLERS[sampler].make(), self._sigmas(steps)
        return kept(path, count, partial(self.maker.generated, denoise, solver, sigmas))

    def _sigmas(self, steps: int) -> Tensor:
        return samplers.karras(steps, *self.maker.info.preconditioning.sigma_range)
