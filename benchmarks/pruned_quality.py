"""Images of a pruned model before and after distillation, by how the parts that go were chosen.

    python -m benchmarks.pruned_quality --folder pruned
    python -m benchmarks.pruned_quality --folder pruned --table --plot pruned.png

The first command makes networks (`benchmarks.pruned_networks`), features of images of each, with the same seeds for
all, and their output loss on test images: mean |F_pruned - F_whole|^2 (LAPTOP-style, after Zhang et al. 2024). All of
it is kept in a folder named by a hash of the model inside the given one, the most telling first, and a run that was
stopped goes on. The second prints and draws what is there.
"""

import json
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jsonargparse
import numpy as np
from jsonargparse.typing import NonNegativeInt, PositiveFloat, PositiveInt

import samplers
from benchmarks.pruned_networks import Case, Method, Networks, Stage
from benchmarks.pruned_report import Facts, Measured, Row, draw, table
from benchmarks.sampler_quality import steps
from unetdiff.atomic import replacing
from unetdiff.cli.prune.additivity_report import AdditivityReport
from unetdiff.denoiser import Denoiser
from unetdiff.evaluation.generated import FeatureMaker, Rows, content_key, kept
from unetdiff.model_folder import find_model
from unetdiff.plain import from_plain, to_plain
from unetdiff.prune.additivity import joint_losses, measure_additivity, random_subsets
from unetdiff.prune.parts import parts_of
from unetdiff.prune.savings import Probe

__all__ = ["Study", "main", "order"]

REAL_IMAGES = "fashion-mnist"


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is measured on the networks and kept beside them: of so many images that the sampler makes of each."""

    networks: Networks
    sampler: str
    calls: int
    images: int

    def fill(self, cases: Sequence[Case]) -> None:
        """Measure the whole model, and each case before and after it is taught."""
        self.whole()
        for case in cases:
            for stage in case.stages:
                self._measure(case, stage)
                print(case.place, stage, flush=True)

    def whole(self) -> Measured:
        """The model as it was."""
        denoiser = self.networks.maker.denoiser
        return Measured(facts=self._facts(denoiser, 0.0), rows=self._rows(self.networks.folder / "whole", denoiser))

    def rows(self, cases: Sequence[Case]) -> list[Row]:
        """What is complete of the cases, by shares."""
        groups: dict[tuple[float, str], list[Case]] = defaultdict(list)
        for case in cases:
            groups[case.keep, case.label].append(case)
        rows = []
        for (keep, label), group in sorted(groups.items(), key=lambda item: -item[0][0]):
            before, after = zip(*([self._found(case, stage) for stage in case.stages] for case in group), strict=True)
            found = [tuple(one for one in stage if one is not None) for stage in (before, after)]
            rows.append(Row(keep=keep, label=label, before=found[0], after=found[1]))
        return [row for row in rows if row.before]

    def additivity(self, case: Case, sets: int) -> AdditivityReport:
        """Of a case's scores, on as many random sets of parts of each size."""
        denoiser, scores = self.networks.maker.denoiser, self.networks.plan(case).scores
        subsets = random_subsets(parts_of(denoiser.unet), sets)
        measured = measure_additivity(denoiser, scores, self.networks.images("train"), subsets)
        return AdditivityReport(measured, case.method)

    def _measure(self, case: Case, stage: Stage) -> None:
        network, path = self.networks.network(case, stage), self._path(case, stage)
        facts = path.with_suffix(".json")
        if not facts.exists():
            (loss,) = joint_losses(self.networks.maker.denoiser, [network.unet], self.networks.images("test"))
            with replacing(facts) as staged:
                staged.write_text(json.dumps(to_plain(self._facts(network, loss))), encoding="utf-8")
        self._rows(path, network)

    def _found(self, case: Case, stage: Stage) -> Measured | None:
        """What was measured, if all of it is there."""
        path = self._path(case, stage)
        facts, features = path.with_suffix(".json"), self._features(path)
        if not features.exists() or len(rows := np.load(features)) < self.images:
            return None
        return Measured(facts=from_plain(Facts, json.loads(facts.read_text("utf-8"))), rows=rows[: self.images])

    def _facts(self, network: Denoiser, loss: float) -> Facts:
        data = self.networks.maker.info.data
        cost = Probe(config=network.unet.config, size=(data.height, data.width)).total({})
        return Facts(parameters=cost.parameters, macs=cost.macs, output_loss=loss)

    def _rows(self, path: Path, network: Denoiser) -> Rows:
        sampler = samplers.SAMPLERS[self.sampler].make()
        sigmas = samplers.karras(steps(sampler, self.calls), *self.networks.maker.info.preconditioning.sigma_range)
        return kept(self._features(path), self.images, partial(self.networks.maker.generated, network, sampler, sigmas))

    def _path(self, case: Case, stage: Stage) -> Path:
        return self.networks.folder / case.place / stage

    def _features(self, path: Path) -> Path:
        return path.with_name(f"{path.name}_{self.sampler}_{self.calls}.npy")


def order(keeps: Sequence[float], seeds: int) -> list[Case]:
    """All cases, the most telling first."""
    first: tuple[Method, ...] = ("output-loss", "magnitude", "handcrafted", "random")
    return [
        *(Case(keep=keep, method=method) for keep in keeps for method in first),
        *(Case(keep=keep, method="taylor") for keep in keeps),
        *(Case(keep=keep, method="output-loss", teaching="plain") for keep in keeps),
        *(Case(keep=keep, method="random", seed=seed) for seed in range(1, seeds) for keep in keeps),
    ]


def parser() -> jsonargparse.ArgumentParser:
    """What to make; a folder holds one calibration set and distillation, but any model and sampler."""
    result = jsonargparse.ArgumentParser(description="Quality of pruned models by how their parts were chosen.")
    result.add_argument("--folder", type=Path, default=Path("pruned"))
    result.add_argument("--model", help="model folder; without it the shipped model")
    result.add_argument("--keeps", type=list[float], default=[0.7, 0.5], help="shares of the parameters that are kept")
    result.add_argument("--seeds", type=PositiveInt, default=5, help="of random choices")
    result.add_argument("--calibration", type=PositiveInt, default=256, help="images that networks are compared on")
    result.add_argument("--steps", type=PositiveInt, default=150, help="of distillation")
    result.add_argument("--batch", type=PositiveInt, default=16, help="images in each of them")
    result.add_argument("--lr", type=PositiveFloat, default=1e-3, help="learning rate of the first of them")
    result.add_argument("--sampler", default="dpmpp-2m", help="that images are made with")
    result.add_argument("--calls", type=PositiveInt, default=5, help="of the network for each image")
    result.add_argument("--images", type=PositiveInt, default=1000, help="made of each network")
    result.add_argument("--additivity", type=NonNegativeInt, default=10, help="sets of parts of each of several sizes")
    result.add_argument("--table", action="store_true", help="print what the folder holds, and make nothing")
    result.add_argument("--plot", type=Path, help="with --table: also draw the Frechet distances")
    return result


def study(options: jsonargparse.Namespace) -> Study:
    """As the options say."""
    maker = FeatureMaker.load(options.model)
    networks = Networks(
        folder=options.folder / content_key(maker.content()),
        source=REAL_IMAGES,
        teacher=find_model(options.model),
        maker=maker,
        calibration=options.calibration,
        steps=options.steps,
        batch_size=options.batch,
        lr=options.lr,
    )
    return Study(networks=networks, sampler=options.sampler, calls=options.calls, images=options.images)


def main(argv: Sequence[str] | None = None) -> None:
    """Make what is missing, or print the table."""
    options = parser().parse_args(argv)
    work, cases = study(options), order(options.keeps, options.seeds)
    folder = work.networks.folder
    additivity = folder / "additivity.txt"
    if not options.table:
        work.fill(cases)
        if options.additivity and not additivity.exists():
            found = work.additivity(cases[0], options.additivity)
            with replacing(additivity) as staged:
                staged.write_text(found.text() + "\n", encoding="utf-8")
        return
    rows, whole, maker = work.rows(cases), work.whole(), work.networks.maker
    test = maker.real("test", REAL_IMAGES, folder)
    print(table(rows, whole, test, maker.real("train", REAL_IMAGES, folder, options.images)))
    if options.plot is not None:
        draw(rows, whole, test, options.plot)
    print(
        f"\nEach distance is of {options.images} images to the test split. Output losses and kernel distances are times"
        " 1000. Errors are one standard error, over seeds one standard deviation."
    )
    if additivity.exists():
        report = textwrap.indent(additivity.read_text("utf-8"), "    ")
        print(f"\nSums of output-loss scores against the loss of the whole set:\n\n{report}")


if __name__ == "__main__":
    main()
