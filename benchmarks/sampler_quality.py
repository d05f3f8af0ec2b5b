"""Distance of generated images to real ones by sampler, network calls and skip-tuning.

    python -m benchmarks.sampler_quality --folder features --samplers "[heun,unipc]" --calls "[5,9]" --rhos "[1,0.9]"
    python -m benchmarks.sampler_quality --folder features --table --plot curves.png --settings skip.json

The first command keeps features of images in files MODEL/NAME_CALLS_RHO.npy, MODEL being a hash of the shipped model:
of a fifth of them at every rho, of the rest at 1 and at the rho that was best on that fifth. The second prints a table
of what is there, judged on that rest, draws the kernel distance over rho on the fifth, and writes the best settings as
`unetdiff skip-search` does.
Image i has seed i and class i modulo the classes, whatever the sampler, so that curves over samplers, calls and rho
compare the same images; a run that was stopped goes on. rho scales the innermost skip, 1 the outermost, in equal steps
between (Ma et al. 2024, section 3).
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jsonargparse
import numpy as np
from jsonargparse.typing import PositiveInt

import samplers
from unetdiff.cli.figure import Picture
from unetdiff.evaluation.distances import Distance, Estimate, FrechetDistance, KernelDistance
from unetdiff.evaluation.generated import FeatureMaker, Rows, content_key, kept
from unetdiff.evaluation.skip_curve import SkipCurve
from unetdiff.evaluation.skip_search import PLAIN, best
from unetdiff.evaluation.skip_settings import SkipSetting
from unetdiff.model_folder import SHIPPED, weights_hash
from unetdiff.nn.skip import SkipSite
from unetdiff.skips import Constant, Linear, skip_tuned

__all__ = ["draw", "main", "table"]

REAL_IMAGES = "fashion-mnist"
CHOOSING = 5  # rho is chosen on a fifth of the images and judged on the rest

Curve = Mapping[float, Rows]
"""Features by rho; those of rho 1 and of the chosen one are of more images than the others."""

Setting = tuple[str, int]
"""A sampler and its network calls."""


def steps(sampler: samplers.Sampler[Any], calls: int) -> int:
    """Steps of a grid on which the sampler makes that many network calls; the step to 0 takes one."""
    whole, rest = divmod(calls - 1, sampler.nfe)
    if rest:
        raise ValueError(f"calls: expected 1 and a multiple of {sampler.nfe}, got {calls}")
    return whole + 1


@dataclass(frozen=True, kw_only=True)
class Features:
    """What is kept in `folder`, made when it is missing; `site` is where rho acts."""

    maker: FeatureMaker
    folder: Path
    site: SkipSite = "concat"

    def rows(self, name: str, calls: int, rho: float, images: int) -> Rows:
        """Of that many images, made by the sampler of that name."""
        sampler = samplers.SAMPLERS[name].make()
        sigmas = samplers.karras(steps(sampler, calls), *self.maker.info.preconditioning.sigma_range)
        denoise = skip_tuned(self.maker.denoiser, Linear(rho_bottom=rho), Constant(), self.site)
        make = partial(self.maker.generated, denoise, sampler, sigmas)
        return kept(self.folder / f"{name}_{calls}_{rho:g}.npy", images, make)

    def fill(self, names: Sequence[str], calls: Sequence[int], rhos: Sequence[float], images: int) -> None:
        """Choose rho on a fifth of the images, and make the others at 1 and at that rho; fewest calls first."""
        choosing = images // CHOOSING
        kernel = KernelDistance(self.maker.real("test", REAL_IMAGES, self.folder))
        for count, name in itertools.product(sorted(calls), names):
            curve = {rho: self.rows(name, count, rho, choosing) for rho in {PLAIN, *rhos}}
            for rho in {PLAIN, chosen(curve, kernel, choosing)}:
                print(name, count, f"{rho:g}", len(self.rows(name, count, rho, images)), flush=True)


def chosen(curve: Curve, kernel: Distance, choosing: int) -> float:
    """The rho that is best on the first `choosing` images."""
    return best({rho: kernel(rows[:choosing]) for rho, rows in curve.items()})


def tried(curve: Curve, kernel: Distance) -> bool:
    """Whether there was a choice of rho, and all images of the chosen one are there."""
    images = len(curve[PLAIN])
    return len(curve) > 1 and len(curve[chosen(curve, kernel, images // CHOOSING)]) == images


def held(folder: Path, images: int) -> dict[Setting, Curve]:
    """Features by setting: of those of which a fifth of the images is there at every rho, and all of them at 1."""
    found: dict[Setting, dict[float, Rows]] = defaultdict(dict)
    for path in folder.glob("*_*_*.npy"):
        if match := re.fullmatch(r"([a-z0-9-]+)_(\d+)_([\d.]+)", path.stem):
            rows = np.load(path)
            if len(rows) >= images // CHOOSING:
                found[match[1], int(match[2])][float(match[3])] = rows[:images]
    return {setting: curve for setting, curve in sorted(found.items()) if len(curve.get(PLAIN, ())) == images}


def table(found: Mapping[Setting, Curve], test: Rows, train: Rows) -> str:
    """A row for each setting in Markdown, the last one of as many real training images."""
    frechet, kernel = FrechetDistance(test), KernelDistance(test)
    lines = [
        "| sampler | calls | Frechet, plain | Frechet, tuned | kernel, plain | kernel, tuned | rho | kernel gain |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for (sampler, calls), curve in found.items():
        lines.append(f"| {sampler} | {calls} | {_cells(curve, frechet, kernel)} |")
    floor = f"{_rounded(frechet(train), 1)} | | {_rounded(kernel(train), 1000)}"
    return "\n".join([*lines, f"| real training images | | {floor} | | | |"])


def _cells(curve: Curve, frechet: Distance, kernel: Distance) -> str:
    """Plain and tuned beside each other, where there was a choice of rho and the chosen one is complete."""
    images = len(curve[PLAIN])
    choosing = images // CHOOSING
    plain = curve[PLAIN][choosing:]
    if not tried(curve, kernel):
        return f"{_rounded(frechet(plain), 1)} | | {_rounded(kernel(plain), 1000)} | | |"
    rho = chosen(curve, kernel, choosing)
    tuned = curve[rho][choosing:]
    pairs = [
        f"{_rounded(d(plain), scale)} | {_rounded(d(tuned), scale)}" for d, scale in ((frechet, 1), (kernel, 1000))
    ]
    return f"{' | '.join(pairs)} | {rho:g} | {_verdict(kernel(plain) - kernel(tuned)) if rho != PLAIN else 'none'}"


def curve_of(setting: Setting, curve: Curve, kernel: Distance) -> SkipCurve:
    """What the features say: rho chosen on a fifth of the images, distances of the rest."""
    (sampler, calls), choosing = setting, len(curve[PLAIN]) // CHOOSING
    rho = chosen(curve, kernel, choosing)
    return SkipCurve(
        sampler=sampler,
        steps=steps(samplers.SAMPLERS[sampler].make(), calls),
        calls=calls,
        distances={rho: kernel(rows[:choosing]) for rho, rows in sorted(curve.items())},
        least=rho,
        plain=kernel(curve[PLAIN][choosing:]),
        tuned=kernel(curve[rho][choosing:]),
    )


def _verdict(gain: Estimate) -> str:
    return _rounded(gain, 1000) + ("" if gain.resolved else " (noise)")


def draw(found: Mapping[Setting, Curve], test: Rows, path: Path) -> None:
    """Change of the kernel distance, which may be zero without skip-tuning: a panel for each sampler."""
    kernel = KernelDistance(test)
    curves = {setting: curve for setting, curve in found.items() if len(curve) > 1}
    names = list(dict.fromkeys(name for name, _ in curves))
    with Picture(path).panels(len(names)) as panels:
        for panel, name in zip(panels, names, strict=True):
            for (_, calls), curve in ((key, value) for key, value in curves.items() if key[0] == name):
                choosing = len(curve[PLAIN]) // CHOOSING
                plain = kernel(curve[PLAIN][:choosing])
                changes = {rho: kernel(rows[:choosing]) - plain for rho, rows in sorted(curve.items())}
                values = [1000 * change.value for change in changes.values()]
                errors = [1000 * change.standard_error for change in changes.values()]
                panel.errorbar(list(changes), values, errors, marker="o", capsize=2, label=f"{calls} calls")
            panel.axhline(0, color="grey", linestyle="--")
            panel.set(title=name, xlabel="rho of the innermost skip", ylabel="change of kernel distance x 1000")
            panel.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.15))


def _rounded(estimate: Estimate, scale: int) -> str:
    return f"{scale * estimate.value:.3f} ± {scale * estimate.standard_error:.3f}"


def main(argv: Sequence[str] | None = None) -> None:
    """Make features, or print the table."""
    parser = jsonargparse.ArgumentParser(description="Quality by sampler, network calls and skip-tuning.")
    parser.add_argument("--folder", type=Path, default=Path("features"))
    parser.add_argument("--samplers", type=list[str], default=["heun", "dpmpp-2m", "unipc"])
    parser.add_argument("--calls", type=list[PositiveInt], default=[5, 7, 9, 13, 19, 35])
    parser.add_argument("--rhos", type=list[float], default=[PLAIN])
    parser.add_argument("--images", type=PositiveInt, default=5000)
    parser.add_argument("--site", type=SkipSite, default="concat", help="where rho acts; a folder holds one of them")
    parser.add_argument("--table", action="store_true", help="print what the folder holds, and make nothing")
    parser.add_argument("--plot", type=Path, help="with --table: also draw the curves over rho")
    parser.add_argument("--settings", type=Path, help="with --table: also write the best settings, for --skip auto")
    options = parser.parse_args(argv)
    maker = FeatureMaker.load()
    folder = options.folder / content_key(maker.content())
    if not options.table:
        features = Features(maker=maker, folder=folder, site=options.site)
        features.fill(options.samplers, options.calls, options.rhos, options.images)
        return
    judged = options.images - options.images // CHOOSING
    real = [maker.real("test", REAL_IMAGES, folder)]
    real.append(maker.real("train", REAL_IMAGES, folder, judged))
    found = held(folder, options.images)
    print(table(found, *real))
    if options.plot is not None:
        draw(found, real[0], options.plot)
    if options.settings is not None:
        weights, kernel = weights_hash(SHIPPED), KernelDistance(real[0])
        curves = [curve_of(setting, curve, kernel) for setting, curve in found.items() if tried(curve, kernel)]
        settings = [curve.setting(site=options.site, sigma="constant", n=judged, weights=weights) for curve in curves]
        SkipSetting.write(options.settings, settings)
    print(
        f"\nEach distance is of {judged} images to the test split; rho is the best on {options.images - judged} others."
        " Kernel distances are times 1000. (noise): within two standard errors."
    )


if __name__ == "__main__":
    main()
