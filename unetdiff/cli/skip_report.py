"""`unetdiff skip-report`: what the skip connections of a model do, and what skip-tuning changes in it."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import jsonargparse

from unetdiff.cli.figure import Picture
from unetdiff.cli.skip_schedule import over_sigma
from unetdiff.errors import InputError
from unetdiff.evaluation.generated import FeatureMaker
from unetdiff.evaluation.skip_report import Change, SkipReport, report_skips
from unetdiff.model_folder import find_model
from unetdiff.nn.skip import SkipSite
from unetdiff.skips import Linear, skip_tuned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SkipReportOptions", "parser", "run"]


@dataclass(frozen=True, kw_only=True)
class SkipReportOptions:
    """What is measured.

    Attributes:
        n: Real images of the test split.
        rho: Factor of the innermost skip, from where it rises to 1 at the outermost.
        site: Where the factor acts.
        sigma: At which noise levels; constant, increasing, decreasing, auto, or window:LO,HI.
        levels: Noise levels of the ratios and losses.
        data: The images.
        classifier: Folder of a classifier; the Fashion-MNIST classifier of this package when left out.
        plot: Also draw the report to this file.
    """

    n: int = 128
    rho: float = 0.8
    site: SkipSite = "concat"
    sigma: str = "constant"
    levels: str = "0.05,0.1,0.2,0.5,1,2,5,20"
    data: str = "fashion-mnist"
    classifier: Path | None = None
    plot: Path | None = None

    def __post_init__(self) -> None:
        if self.n < 4:
            raise InputError(f"n: expected at least 4, got {self.n}")
        if not 0 <= self.rho < math.inf:
            raise InputError(f"rho: expected a finite number of 0 or more, got {self.rho}")
        if not all(0 < sigma < math.inf for sigma in self.sigmas):
            raise InputError(f"levels: expected finite positive numbers, got {self.levels}")

    @property
    def sigmas(self) -> list[float]:
        """`levels` as numbers."""
        try:
            return [float(level) for level in self.levels.split(",")]
        except ValueError as error:
            raise InputError(f"levels: expected numbers with commas between, got {self.levels!r}") from error


def parser() -> jsonargparse.ArgumentParser:
    """Build the options of the command from the fields of `SkipReportOptions`."""
    result = jsonargparse.ArgumentParser(description="Show what a model's skip connections do, and skip-tuning.")
    result.add_argument("model", nargs="?", help="model folder or run folder; without it the shipped model")
    result.add_class_arguments(SkipReportOptions)
    result.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Measure, draw if asked for, print."""
    options = SkipReportOptions(**{entry.name: args[entry.name] for entry in fields(SkipReportOptions)})
    picture = None if options.plot is None else Picture(options.plot)
    maker = FeatureMaker.load(args.model, options.classifier)
    schedule = over_sigma(options.sigma, maker.info.preconditioning)
    tuned = skip_tuned(maker.denoiser, Linear(rho_bottom=options.rho), schedule, options.site)
    report = report_skips(maker, maker.real_data("test", options.data), options.n, options.sigmas, tuned)
    if picture is not None:
        with picture.panels(3) as axes:
            _draw(axes, report)
    if args.json:
        print(json.dumps({"model": str(find_model(args.model)), **_settings(options), **asdict(report)}, indent=2))
    else:
        _print(report, options)


def _settings(options: SkipReportOptions) -> dict[str, str | int | float]:
    return {"n": options.n, "rho_bottom": options.rho, "site": options.site, "sigma": options.sigma}


def _print(report: SkipReport, options: SkipReportOptions) -> None:
    print(f"{options.n} images, rho {options.rho:g} at the innermost skip; * more than two standard errors\n")
    width = max(map(len, report.ratios))
    print(f"{'skip':{width}}   ||skip|| / ||up||")
    for skip, ratio in report.ratios.items():
        print(f"{skip:{width}}   {ratio.value:.3f} +- {ratio.standard_error:.3f}")
    mean = sum(ratio.value for ratio in report.ratios.values()) / len(report.ratios)
    print(f"{'mean':{width}}   {mean:.3f}")
    for space, losses in report.losses.items():
        print(f"\n{'sigma':>8}{'loss in ' + space:>20}{'with rho':>12}   change")
        for sigma, change in losses.items():
            print(f"{sigma:8g}{change.plain:20.4g}{change.tuned:12.4g}   {_relative(change)}")
    mmd = report.mmd
    print(f"\nMMD^2 of inverted noise to a Gaussian {mmd.plain:.4g}, with rho {mmd.tuned:.4g}   {_relative(mmd)}")


def _relative(change: Change) -> str:
    share, error = (
        100 * number / abs(change.plain) for number in (change.difference.value, change.difference.standard_error)
    )
    return f"{share:+.2f} +- {error:.2f} %" + (" *" if change.resolved else "")


def _draw(axes: "Sequence[Axes]", report: SkipReport) -> None:
    """The ratio of each skip; the relative change of each loss by noise level; the MMD."""
    ratios, losses, mmd = axes
    ratios.barh(list(report.ratios), [ratio.value for ratio in report.ratios.values()])
    ratios.set(title="||skip|| / ||up||, innermost skip below")
    for space, changes in report.losses.items():
        values = [100 * change.difference.value / change.plain for change in changes.values()]
        errors = [100 * change.difference.standard_error / change.plain for change in changes.values()]
        losses.errorbar(list(changes), values, errors, marker="o", capsize=2, label=space)
    losses.axhline(0, color="grey", linestyle="--")
    losses.set(title="denoising loss", xlabel="sigma", ylabel="change with rho, %", xscale="log")
    sigmas = list(report.losses["pixels"])
    losses.set_xticks(sigmas, [f"{sigma:g}" for sigma in sigmas])
    losses.minorticks_off()
    losses.legend()
    mmd.bar(["plain", "with rho"], [report.mmd.plain, report.mmd.tuned])
    mmd.set(title="MMD^2 of inverted noise to a Gaussian")
