"""`unetdiff sweep`: features of all nodes at several noise levels, probes on all of them, the table and its picture."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import jsonargparse
import torch
from accelerate import PartialState

from unetdiff.cli import features as extraction
from unetdiff.cli.data_options import data_config
from unetdiff.cli.device import processes
from unetdiff.cli.figure import Picture
from unetdiff.cli.heatmap import Heatmap
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.probe import ProbeOptions
from unetdiff.cli.probe_report import print_best, print_results, write_csv
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.data import PackedDataset, prepare
from unetdiff.data.config import Split
from unetdiff.errors import InputError, user_input
from unetdiff.features.cell import Cell
from unetdiff.features.network_images import framed
from unetdiff.model_folder import load_model, save_model
from unetdiff.probes.comparison import Result, best_result
from unetdiff.probes.labelled import LabelledFeatures
from unetdiff.probes.noise_curve import form_of
from unetdiff.unet import UNet

__all__ = ["parser", "run"]

TABLE = "sweep.csv"  # in the folder with the features
UNTRAINED = "untrained"  # there: the network with the random weights that training starts from, and its features


def parser() -> jsonargparse.ArgumentParser:
    """Build the options: those of `unetdiff features`, of probes, and what is drawn."""
    result = extraction.parser()
    result.description = "Probe the features of all nodes at several noise levels; writes OUT/sweep.csv."
    result.add_class_arguments(ProbeOptions)
    result.add_argument(
        "--baselines", action="store_true", help="also probe raw pixels, and the network with random weights"
    )
    result.add_argument("--plot", type=Path | None, help="draw test accuracy by node and noise level to this file")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Extract what is missing, probe, write the table, draw, print."""
    with user_input():
        options = options_from(ProbeOptions, parser().instantiate(args))
    picture = None if args.plot is None else Picture(args.plot)
    state = processes(args.device)
    with state.main_process_first():  # which packs the images
        images = _labelled_images(args)
    extraction.run(_of_extraction(args, args.model, args.out))
    if args.baselines:
        extraction.run(_of_extraction(args, _untrained(args, state), args.out / UNTRAINED))
    if not state.is_main_process:
        return
    features = {"model": LabelledFeatures.open(args.out)}
    if args.baselines:
        features |= {UNTRAINED: LabelledFeatures.open(args.out / UNTRAINED), "pixels": _pixels(**images)}
    results = {network: options.results(of_network) for network, of_network in features.items()}
    write_csv(args.out / TABLE, results)
    single = [result for result in results["model"] if len(result.cells) == 1 and result.shots is None]
    if picture is not None and single:
        _heatmap(single).write(picture)
    for network, of_network in results.items():
        print(f"\n{network}")
        print_results(of_network)
        print_best(of_network, features[network].floor)
    if single:
        print(_over_noise(single, len(features["model"].test_labels)))
    print(args.out / TABLE)


def _of_extraction(args: jsonargparse.Namespace, model: str | Path | None, out: Path) -> jsonargparse.Namespace:
    """The options of `unetdiff features` among these, for another model and folder."""
    chosen = args.clone()
    for option in ("baselines", "plot", *(entry.name for entry in fields(ProbeOptions))):
        chosen.pop(option)
    chosen.model, chosen.out = model, out
    return chosen


def _untrained(args: jsonargparse.Namespace, state: PartialState) -> Path:
    """A model folder of the same network with random weights, which are those of the seed."""
    folder: Path = args.out / UNTRAINED / "model"
    with state.main_process_first():
        if not folder.exists():
            denoiser, info = load_model(args.model)
            with torch.random.fork_rng():
                torch.manual_seed(args.seed)
                save_model(folder, UNet.from_config(denoiser.unet.config), info)
    return folder


def _labelled_images(args: jsonargparse.Namespace) -> dict[Split, PackedDataset]:
    """Both splits, as the network's pictures are.

    Raises:
        InputError: no labels.
    """
    model = LoadedModel.load(args.model, "cpu", args.text_encoder, args.codec)
    chosen = parser().instantiate(args)
    given = data_config(args.data, chosen)
    wanted = framed(given, model.picture_size, model.picture_channels)
    images = {split: prepare(replace(wanted, split=split)) for split in get_args(Split)}
    for split, packed in images.items():
        if packed.labels is None:
            raise InputError(f"data: images with labels expected, got some without in the {split} split of {args.data}")
    return images


def _pixels(train: PackedDataset, test: PackedDataset) -> LabelledFeatures:
    """The images themselves, without noise."""
    assert train.labels is not None
    assert test.labels is not None
    return LabelledFeatures(
        cells=(Cell("pixels", 0.0),),
        train=(train.images,),
        test=(test.images,),
        train_labels=train.labels,
        test_labels=test.labels,
        classes=train.classes,
    )


def _heatmap(results: Sequence[Result]) -> Heatmap:
    """Test accuracy of the first probe, with the cell that is best on held-out images marked."""
    first = [result for result in results if result.probe == results[0].probe]
    table = {result.cells[0]: result.test for result in first}
    best = best_result(first).cells[0]
    drawn = Heatmap.of_cells(table, f"test accuracy, {first[0].probe}")
    return replace(drawn, marked=(drawn.rows.index(best.tap), drawn.columns.index(f"{best.sigma:g}")))


def _over_noise(results: Sequence[Result], count: int) -> str:
    """How the best node's test accuracy changes with the noise level."""
    best = best_result(results)
    [place] = best.cells
    of_place = [result for result in results if (result.probe, result.cells[0].tap) == (best.probe, place.tap)]
    curve = sorted((result.cells[0].sigma, result.test) for result in of_place)
    error = (best.test * (1 - best.test) / count) ** 0.5
    numbers = ", ".join(f"{accuracy:.3f} at {sigma:g}" for sigma, accuracy in curve)
    form = form_of([accuracy for _, accuracy in curve], tolerance=error)
    return f"\nover noise, {best.probe} of {place.tap} {form}: {numbers} (standard error {error:.3f})"
