"""`unetdiff probe`: what can be told from stored features, by place in the network and noise level."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jsonargparse
from tqdm import tqdm

from unetdiff.cli.help_formatter import HelpWithLists
from unetdiff.cli.probe_report import as_json, print_best, print_results, write_csv
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.errors import user_input
from unetdiff.plain import require
from unetdiff.probes.catalogue import PROBES
from unetdiff.probes.comparison import Comparison, Result
from unetdiff.probes.labelled import LabelledFeatures
from unetdiff.probes.probe import Probe

__all__ = ["ProbeOptions", "parser", "run"]


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """Probes.

    Attributes:
        head: Names of probes, separated by commas; --help lists them.
        few_shot: Also with so many images of each class, numbers separated by commas.
        repeats: Draws of these images.
        held_out: Part of the training images that every choice (cell, C, k, ...) is made on.
        split_seed: Of the held-out images and of the draws.
        epochs: Passes over the training images of probes that make them (all but logistic and knn); 20 when left out.
    """

    head: str = "linear"
    few_shot: str | None = None
    repeats: int = 10
    held_out: float = 0.1
    split_seed: int = 0
    epochs: int | None = None

    def __post_init__(self) -> None:
        require(0 < self.held_out < 1, "held_out", "a number between 0 and 1", self.held_out)
        require(self.repeats >= 1, "repeats", "at least 1", self.repeats)
        require(self.epochs is None or self.epochs >= 1, "epochs", "at least 1", self.epochs)
        unknown = [name for name in self.head.split(",") if name not in PROBES]
        require(not unknown, "head", f"names among {', '.join(PROBES)}", ",".join(unknown))

    def probes(self) -> Mapping[str, Probe]:
        """The probes with their usual settings but these, by name."""
        usual = {name: PROBES[name].make() for name in self.head.split(",")}
        if self.epochs is None:
            return usual
        return {name: probe.for_epochs(self.epochs) for name, probe in usual.items()}

    def comparison(self) -> Comparison:
        """How they are compared."""
        return Comparison(held_out=self.held_out, shots=self._shots(), repeats=self.repeats, seed=self.split_seed)

    def results(self, features: LabelledFeatures) -> list[Result]:
        """Of all probes, one after the other."""
        comparison = self.comparison()
        fitting = tqdm(self.probes().items(), desc="probes", disable=None)
        return [result for name, probe in fitting for result in comparison.run(name, probe, features)]

    def _shots(self) -> tuple[int, ...]:
        shots = [] if self.few_shot is None else self.few_shot.split(",")
        valid = all(number.isdecimal() and int(number) >= 1 for number in shots)
        require(valid, "few_shot", "numbers of at least 1 with commas between", self.few_shot)
        return tuple(map(int, shots))


def parser() -> jsonargparse.ArgumentParser:
    """Build the options."""
    heads = "\n".join(f"  {name:<12}{entry.source}" for name, entry in PROBES.items())
    result = jsonargparse.ArgumentParser(
        description="Fit probes to stored features and show how well they tell classes apart.",
        epilog=f"probes (--head):\n{heads}",
        formatter_class=HelpWithLists,
    )
    result.add_argument("store", type=Path, help="folder of `unetdiff features`, with train and test")
    result.add_argument("--cells", help="nodes or patterns of their names, NAME or NAME@SIGMA, separated by commas")
    result.add_class_arguments(ProbeOptions)
    result.add_argument("--csv", type=Path | None, help="also write all results to this file")
    result.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Fit, write, print."""
    with user_input():
        options = options_from(ProbeOptions, parser().instantiate(args))
        features = LabelledFeatures.open(args.store, args.cells)
        results = options.results(features)
    if args.csv is not None:
        write_csv(args.csv, {"model": results})
    if args.json:
        facts = {"train": len(features.train_labels), "test": len(features.test_labels), "floor": features.floor}
        print(json.dumps({"store": str(args.store), **facts, "results": as_json(results)}, indent=2))
    else:
        print_results(results)
        print_best(results, features.floor)
