"""The command: check every row, make the images that are missing, have them judged, report.

Under `accelerate launch` the processes share the images to make, and one of them judges.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import jsonargparse

from unetdiff.cli.begun import require_begun_with, write_settings
from unetdiff.cli.compare.comparison import Comparison, JudgedRow
from unetdiff.cli.compare.folder import ComparisonFolder
from unetdiff.cli.compare.report import show, write_report
from unetdiff.cli.compare.rows import rows_of
from unetdiff.cli.compare.settings import Setting, SettingOptions
from unetdiff.cli.data_options import add_data_options, data_config
from unetdiff.cli.device import device_called, processes
from unetdiff.cli.evaluate.command import NOT_SAMPLED, USUAL
from unetdiff.cli.evaluate.evaluation import Asked
from unetdiff.cli.evaluate.options import CaptionOptions, ImageOptions, JudgeOptions
from unetdiff.cli.help_formatter import HelpWithLists
from unetdiff.cli.recipe import GROUPS, Recipe
from unetdiff.cli.recipe.help_lists import help_lists
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.errors import user_input
from unetdiff.model_info import JSON
from unetdiff.plain import require

__all__ = ["parser", "run"]

VARIED = {entry.name for entry in fields(Setting)}


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Output.

    Attributes:
        out: Folder of the report and of the images; what is there is not made again.
        shown: Images of each row on the page.
    """

    out: Path = Path("comparison")
    shown: int = 10

    def __post_init__(self) -> None:
        require(self.shown >= 1, "shown", "at least 1", self.shown)


def parser() -> jsonargparse.ArgumentParser:
    """Build the options of the command from the fields of its groups of options."""
    result = jsonargparse.ArgumentParser(
        description="Measure models, or settings of sampling, side by side: the same seeds, the same judges as those "
        "of `unetdiff eval`, and a page with tables, curves and samples.",
        usage="%(prog)s model [model ...] [options]",
        epilog=help_lists(),
        formatter_class=HelpWithLists,
    )
    result.add_argument("models", nargs="*", help="model folders or run folders; fashion-mnist is the shipped one")
    result.add_argument("--data", help="real images, as `unetdiff data pack` takes them; without it Fashion-MNIST")
    result.add_class_arguments(SettingOptions)
    result.add_class_arguments(OutputOptions)
    result.add_class_arguments(ImageOptions, skip={"images", "samples"})
    recipe = [group for name, group in GROUPS.items() if name != NOT_SAMPLED]
    for group in (JudgeOptions, CaptionOptions, *recipe):
        result.add_class_arguments(group, skip=VARIED & {entry.name for entry in fields(group)})
    add_data_options(result)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Compare.

    Raises:
        InputError: options that cannot be, models that are not alike, or a folder of another comparison.
    """
    with user_input():
        chosen = parser().instantiate(args)
        settings, output = options_from(SettingOptions, chosen).settings, options_from(OutputOptions, chosen)
        asked = _asked(chosen, settings[0])
    state = processes(asked.images.device)
    device = device_called(asked.images.device, state)
    folder = ComparisonFolder(output.out)
    with state.main_process_first(), user_input():
        require_begun_with(_common(asked), folder.settings)
        rows = rows_of(chosen.models, settings, vars(chosen), asked, folder, device)
        write_settings(_common(asked), folder.settings)
    candidates = [row.made.candidates() for row in rows]
    if not state.is_main_process:
        return
    with user_input():
        comparison = Comparison(rows=list(map(JudgedRow.of, rows, candidates)), shared=_chosen(asked))
    write_report(comparison, folder, output.shown)
    show(comparison, folder)


def _asked(chosen: jsonargparse.Namespace, setting: Setting) -> Asked:
    """What `unetdiff eval` is asked of the first row, without its model."""
    options: Mapping[str, Any] = vars(chosen)
    return Asked(
        model=None,
        data=data_config(USUAL if chosen.data is None else chosen.data, chosen),
        usual=chosen.data is None,
        images=options_from(ImageOptions, options),
        judging=options_from(JudgeOptions, options),
        captions=options_from(CaptionOptions, options),
        recipe=setting.recipe(options),
    )


def _common(asked: Asked) -> dict[str, JSON]:
    """What all rows of a folder share, so that images and numbers of two comparisons do not mix."""
    return {"data": asked.data.source, "seed": asked.images.seed, "recipe": _shared(asked)}


def _shared(asked: Asked) -> dict[str, JSON]:
    """The options of sampling that do not vary."""
    return {name: value for name, value in asked.recipe.facts().items() if name not in VARIED}


def _chosen(asked: Asked) -> dict[str, JSON]:
    """Those of them that are not as they usually are."""
    usual = Recipe().facts()
    return {name: value for name, value in _shared(asked).items() if usual.get(name) != value}
