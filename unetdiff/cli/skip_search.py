"""`unetdiff skip-search`: the strength of the skips that gives the best images, by sampler and number of steps.

rho scales the innermost skip, 1 the outermost, in equal steps between (Ma et al. 2024, section 3). For each sampler and
number of steps the kernel distance to real images is measured over rho, with the same seeds and classes at every rho.
The rho of the least distance is measured again with other seeds, beside rho = 1: the least of many noisy numbers lies
too low to say itself how good it is.
"""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import jsonargparse
from tqdm import tqdm

import samplers
from unetdiff.atomic import replacing
from unetdiff.cli.figure import Picture
from unetdiff.cli.skip_schedule import over_sigma
from unetdiff.errors import InputError
from unetdiff.evaluation.distances import Estimate, KernelDistance
from unetdiff.evaluation.generated import FeatureMaker
from unetdiff.evaluation.skip_curve import SkipCurve, SkipCurves
from unetdiff.evaluation.skip_search import PLAIN
from unetdiff.evaluation.skip_settings import FILE, SkipSetting
from unetdiff.model_folder import find_model, weights_hash
from unetdiff.nn.skip import SkipSite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SkipSearchOptions", "parser", "print_table", "run"]

Number = TypeVar("Number", int, float)
COLUMNS = ("sampler", "steps", "calls", "seeds", "rho_bottom", "distance", "standard_error", "gain", "gain_error")


@dataclass(frozen=True, kw_only=True)
class SkipSearchOptions:
    """What is compared, and how.

    Attributes:
        steps: Numbers of steps on the Karras grid, such as 5,9,18.
        sampler: Names of samplers, such as heun,unipc.
        n: Images for each distance.
        rhos: Factors of the innermost skip; 1 is always among them.
        refine: Most further factors near the best.
        site: Where the factor acts.
        sigma: At which noise levels; constant, increasing, decreasing, auto, or window:LO,HI.
        data: Real images; distances are to their test split.
        classifier: Folder of a classifier; the Fashion-MNIST classifier of this package when left out.
        folder: Features and the table curves.csv; what is there is not made again.
        out: File for the best settings; skip.json in the model folder when left out.
        plot: Also draw the curves to this file, one panel for each sampler.
    """

    steps: str = "5,9,18"
    sampler: str = "heun,unipc,dpmpp-2m"
    n: int = 500
    rhos: str = "1,0.95,0.9,0.85,0.8,0.75,0.7"
    refine: int = 4
    site: SkipSite = "concat"
    sigma: str = "constant"
    data: str = "fashion-mnist"
    classifier: Path | None = None
    folder: Path = Path("skip-search")
    out: Path | None = None
    plot: Path | None = None

    def __post_init__(self) -> None:
        for name, least in (("n", 3), ("refine", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        unknown = [name for name in self.names if name not in samplers.SAMPLERS]
        if unknown:
            raise InputError(f"sampler: expected names among {', '.join(samplers.SAMPLERS)}, got {', '.join(unknown)}")
        if min(self.step_counts) < 1:
            raise InputError(f"steps: expected positive numbers, got {self.steps}")
        if not all(0 <= rho < math.inf for rho in self.factors):
            raise InputError(f"rhos: expected finite numbers of 0 or more, got {self.rhos}")

    @property
    def names(self) -> list[str]:
        """Of the samplers."""
        return list(dict.fromkeys(name.strip() for name in self.sampler.split(",")))

    @property
    def step_counts(self) -> list[int]:
        """`steps` as numbers."""
        return _listed("steps", self.steps, int)

    @property
    def factors(self) -> list[float]:
        """`rhos` as numbers."""
        return _listed("rhos", self.rhos, float)


def parser() -> jsonargparse.ArgumentParser:
    """Build the options of the command from the fields of `SkipSearchOptions`."""
    result = jsonargparse.ArgumentParser(description="Find the strength of the skip connections that samples best.")
    result.add_argument("model", nargs="?", help="model folder or run folder; without it the shipped model")
    result.add_class_arguments(SkipSearchOptions)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Measure, write curves.csv after every curve, then the best settings; print a table."""
    options = SkipSearchOptions(**{entry.name: args[entry.name] for entry in fields(SkipSearchOptions)})
    target = _target(args.model, options)
    weights = weights_hash(find_model(args.model))
    earlier = SkipSetting.read(target, weights)
    picture = None if options.plot is None else Picture(options.plot)
    maker = FeatureMaker.load(args.model, options.classifier)
    schedule = over_sigma(options.sigma, maker.info.preconditioning)
    distance = KernelDistance(maker.real("test", options.data, options.folder))
    floor = distance(maker.real("train", options.data, options.folder, options.n))
    search = SkipCurves(
        maker=maker,
        distance=distance,
        folder=options.folder,
        count=options.n,
        over_sigma=schedule,
        site=options.site,
    )
    curves: list[SkipCurve] = []
    wanted = [(name, steps) for name in options.names for steps in options.step_counts]
    for name, steps in tqdm(wanted, unit="curve", disable=None):
        curves.append(search.measure(name, steps, options.factors, options.refine))
        _write_curves(options.folder / "curves.csv", curves, options.n)
    if picture is not None:
        with picture.panels(len(options.names)) as axes:
            _draw(axes, curves, floor)
    found = [curve.setting(site=options.site, sigma=options.sigma, n=options.n, weights=weights) for curve in curves]
    SkipSetting.write(target, [*earlier, *found])
    print_table(curves, floor)
    print(target)


def _listed(field: str, text: str, kind: Callable[[str], Number]) -> list[Number]:
    """Each number once, in the order given."""
    try:
        return list(dict.fromkeys(kind(number) for number in text.split(",")))
    except ValueError as error:
        raise InputError(f"{field}: expected numbers with commas between, got {text!r}") from error


def _target(model: str | None, options: SkipSearchOptions) -> Path:
    if options.out is None and model is None:
        raise InputError("out: expected a file, since the shipped model's folder belongs to the package, got none")
    return options.out or find_model(model) / FILE


def _write_curves(path: Path, curves: Sequence[SkipCurve], count: int) -> None:
    """A row for each distance; `gain` is what it is less than the distance at rho 1 on the same seeds."""
    with replacing(path) as staged, staged.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for curve in curves:
            for rho, distance in curve.distances.items():
                table.writerow(_row(curve, f"0-{count - 1}", rho, distance, curve.distances[PLAIN]))
            for rho, distance in {PLAIN: curve.plain, curve.least: curve.tuned}.items():
                table.writerow(_row(curve, f"{count}-{2 * count - 1}", rho, distance, curve.plain))


def _row(curve: SkipCurve, seeds: str, rho: float, distance: Estimate, plain: Estimate) -> list[str | int | float]:
    gain = plain - distance
    measured = (distance.value, distance.standard_error, gain.value, gain.standard_error)
    return [curve.sampler, curve.steps, curve.calls, seeds, rho, *(float(f"{number:.6g}") for number in measured)]


def _draw(axes: "Sequence[Axes]", curves: Sequence[SkipCurve], floor: Estimate) -> None:
    """A panel for each sampler, in it a curve for each number of network calls."""
    names = list(dict.fromkeys(curve.sampler for curve in curves))
    for panel, name in zip(axes, names, strict=True):
        for curve in (curve for curve in curves if curve.sampler == name):
            values = [distance.value for distance in curve.distances.values()]
            errors = [distance.standard_error for distance in curve.distances.values()]
            panel.errorbar(list(curve.distances), values, errors, marker="o", capsize=2, label=f"{curve.calls} calls")
        panel.axhline(floor.value, color="grey", linestyle="--", label="real images")
        panel.set(title=name, xlabel="rho of the innermost skip", ylabel="kernel distance")
        panel.set_yscale("symlog", linthresh=1e-3)
        panel.legend()


def print_table(curves: Sequence[SkipCurve], floor: Estimate) -> None:
    """A line for each curve, judged on the seeds that did not choose its rho."""
    print("kernel distance x 1000 with its standard error, on seeds other than those that chose rho")
    print(f"{'sampler':20}{'steps':>5}{'calls':>6}{'rho':>7}{'plain':>16}{'tuned':>16}{'gain':>16}")
    for curve in curves:
        cells = "".join(f"{_thousandths(estimate):>16}" for estimate in (curve.plain, curve.tuned, curve.gain))
        print(f"{curve.sampler:20}{curve.steps:5}{curve.calls:6}{curve.least:7.3f}{cells}  {_verdict(curve)}")
    print(f"as many real training images: {_thousandths(floor)}")


def _verdict(curve: SkipCurve) -> str:
    if curve.least == PLAIN:
        return "no rho is better than 1"
    if not curve.gain.resolved:
        return "within two standard errors: rho stays 1"
    return "better" if curve.helps else "worse on other seeds: rho stays 1"


def _thousandths(estimate: Estimate) -> str:
    return f"{1000 * estimate.value:.2f} +- {1000 * estimate.standard_error:.2f}"
