"""Results of probes as a table on the screen, as CSV and as JSON."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from unetdiff.atomic import replacing
from unetdiff.features.cell import Cell
from unetdiff.model_info import JSON
from unetdiff.probes.comparison import Result, best_result
from unetdiff.tables import table

__all__ = ["as_json", "print_best", "print_results", "write_csv"]

COLUMNS = ("network", "probe", "shots", "node", "sigma", "held_out", "test", "deviation", "chosen")


def print_results(results: Sequence[Result]) -> None:
    """Of one probe a row for every node and a column for every noise level, of several a row for every cell."""
    print(_by_noise(results) if len(set(map(_head, results))) == 1 else _by_probe(results))
    print("test accuracy (in brackets that on held-out training images, on which choices are made)\n")


def _by_noise(results: Sequence[Result]) -> str:
    found = {_place(result.cells): _accuracies(result) for result in results}
    taps, sigmas = (list(dict.fromkeys(names)) for names in zip(*found, strict=True))
    rows = [[tap, *(found.get((tap, sigma), "") for sigma in sigmas)] for tap in taps]
    return table([[f"{_head(results[0])} of", *(f"sigma {sigma}" for sigma in sigmas)], *rows], left_aligned=[0])


def _by_probe(results: Sequence[Result]) -> str:
    found = {(_place(result.cells), _head(result)): _accuracies(result) for result in results}
    places, heads = (list(dict.fromkeys(names)) for names in zip(*found, strict=True))
    rows = [[*place, *(found.get((place, head), "") for head in heads)] for place in places]
    return table([["node", "sigma", *heads], *rows], left_aligned=[0])


def print_best(results: Sequence[Result], floor: float) -> None:
    """The best cell of each probe, chosen on held-out training rows, and what is reached without features."""
    for probe in dict.fromkeys(result.probe for result in results):
        best = best_result([result for result in results if result.probe == probe])
        tap, sigma = _place(best.cells)
        settings = "".join(f", {name} {value:g}" for name, value in best.chosen.items())
        print(f"best {probe}: {tap} at sigma {sigma}, test {best.test:.4f}, held out {best.validation:.4f}{settings}")
    print(f"most frequent class: {floor:.4f}")


def write_csv(path: Path, results: Mapping[str, Sequence[Result]]) -> None:
    """A line for each result; `results` by the name of the network that the features are of."""
    with replacing(path) as staged, staged.open("w", newline="", encoding="utf-8") as file:
        lines = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        lines.writeheader()
        for network, of_network in results.items():
            lines.writerows({"network": network, **_line(result)} for result in of_network)


def as_json(results: Sequence[Result]) -> list[dict[str, JSON]]:
    """An object for each result."""
    return [
        {
            "probe": result.probe,
            "cells": [{"node": cell.tap, "sigma": cell.sigma} for cell in result.cells],
            "shots": result.shots,
            "held_out": result.validation,
            "test": result.test,
            "deviation": result.deviation,
            "chosen": dict(result.chosen),
        }
        for result in results
    ]


def _line(result: Result) -> dict[str, object]:
    chosen = " ".join(f"{name}={value:g}" for name, value in result.chosen.items())
    return {
        "probe": result.probe,
        "shots": result.shots,
        "node": " + ".join(dict.fromkeys(cell.tap for cell in result.cells)),
        "sigma": _sigmas(result.cells),
        "held_out": _digits(result.validation),
        "test": _digits(result.test),
        "deviation": _digits(result.deviation),
        "chosen": chosen,
    }


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _head(result: Result) -> str:
    return result.probe if result.shots is None else f"{result.probe}, {result.shots}-shot"


def _place(cells: Sequence[Cell]) -> tuple[str, str]:
    """Node and noise level of a cell; of several the number of nodes, and all noise levels."""
    taps = dict.fromkeys(cell.tap for cell in cells)
    return (f"{len(taps)} nodes" if len(taps) > 1 else next(iter(taps))), _sigmas(cells)


def _sigmas(cells: Sequence[Cell]) -> str:
    return ",".join(f"{sigma:g}" for sigma in sorted({cell.sigma for cell in cells}))


def _accuracies(result: Result) -> str:
    if result.deviation is not None:
        return f"{result.test:.3f} +- {result.deviation:.3f}"
    return f"{result.test:.3f} ({result.validation or 0:.3f})"
