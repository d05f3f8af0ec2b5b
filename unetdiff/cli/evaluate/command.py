"""The command: gather the judges, make the images or find them, write and print what the judges say.

Under `accelerate launch` the processes share the images to make, and one of them judges: numbers do not depend on how
many there are.
"""

import json
from collections.abc import Mapping
from typing import Any

import jsonargparse

from unetdiff.atomic import replacing
from unetdiff.cli.data_options import add_data_options, data_config
from unetdiff.cli.device import device_called, processes
from unetdiff.cli.evaluate.evaluation import Asked, Evaluation, named_model
from unetdiff.cli.evaluate.judged import Judged
from unetdiff.cli.evaluate.options import CaptionOptions, ImageOptions, JudgeOptions, ReportOptions
from unetdiff.cli.evaluate.report import as_table, write_csv
from unetdiff.cli.help_formatter import HelpWithLists
from unetdiff.cli.recipe import GROUPS, Recipe
from unetdiff.cli.recipe.help_lists import help_lists
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.errors import user_input

__all__ = ["NOT_SAMPLED", "USUAL", "parser", "run"]

DESCRIPTION = (
    "Measure how good images are, of a model or of any folder, beside real images: distances, precision and recall, "
    "classes and captions, copies of training images, and the model's denoising loss."
)
LEGEND = """\
floor: the same of real images. Of training images for distances and the like, of held-out ones for copies, of test
images for classes, of images with the captions for captions; of training images for a denoising loss, whose value is of
held-out ones."""
USUAL = "fashion-mnist"
NOT_SAMPLED = "start"
"""The group of options that begins with given pictures."""


def parser() -> jsonargparse.ArgumentParser:
    """Build the options of the command from the fields of its groups of options."""
    result = jsonargparse.ArgumentParser(
        description=DESCRIPTION,
        usage="%(prog)s [model] [data] [options]\n       %(prog)s data --images FOLDER [options]",
        epilog=help_lists(),
        formatter_class=HelpWithLists,
    )
    result.add_argument("model", nargs="?", help="model folder or run folder; without it the shipped model")
    result.add_argument(
        "data", nargs="?", help="real images, as `unetdiff data pack` takes them; without it Fashion-MNIST"
    )
    result.add_class_arguments(ImageOptions)
    result.add_class_arguments(ReportOptions, skip={"json"})
    result.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    for group in (JudgeOptions, CaptionOptions, *(group for name, group in GROUPS.items() if name != NOT_SAMPLED)):
        result.add_class_arguments(group)
    add_data_options(result)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Judge, report."""
    with user_input():
        chosen = parser().instantiate(args)
        asked = _asked(chosen)
    state = processes(asked.images.device)
    device = device_called(asked.images.device, state)
    with state.main_process_first(), user_input():  # the first one packs images and keeps features of captioned ones
        model = None if asked.only_images else named_model(asked, device)
        evaluation = Evaluation.of(asked, model, device)
    candidates = evaluation.source.candidates()
    if not state.is_main_process:
        return
    with user_input():
        judged = Judged.of(evaluation, candidates)
    _report(judged, options_from(ReportOptions, chosen))


def _asked(chosen: jsonargparse.Namespace) -> Asked:
    options: Mapping[str, Any] = vars(chosen)
    images = options_from(ImageOptions, options)
    model, data = chosen.model, chosen.data
    if images.images is not None and data is None:  # the one name beside a folder of images is that of the data
        model, data = None, model
    return Asked(
        model=model,
        data=data_config(USUAL if data is None else data, chosen),
        usual=data is None,
        images=images,
        judging=options_from(JudgeOptions, options),
        captions=options_from(CaptionOptions, options),
        recipe=Recipe.from_options(options),
    )


def _report(judged: Judged, options: ReportOptions) -> None:
    text = json.dumps(judged.facts(), indent=2)
    if options.out is not None:
        with replacing(options.out) as staged:
            staged.write_text(f"{text}\n", encoding="utf-8")
    if options.csv is not None:
        write_csv(options.csv, judged.measures)
    if options.json:
        print(text)
        return
    print("\n\n".join([as_table(judged.measures), *judged.texts, LEGEND]))
    for note in judged.notes:
        print(f"not measured: {note}")
