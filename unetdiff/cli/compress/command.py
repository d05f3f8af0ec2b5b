"""The command: see that what is there was asked for in the same way, make what is missing, print the table."""

import sys

import jsonargparse

from unetdiff.cli.begun import require_begun_with
from unetdiff.cli.compress.folder import CompressionFolder
from unetdiff.cli.compress.options import Asked
from unetdiff.cli.compress.report import Report
from unetdiff.cli.compress.stages import STAGES
from unetdiff.errors import user_input
from unetdiff.model_folder import find_model, weights_hash

__all__ = ["parser", "run"]


def parser() -> jsonargparse.ArgumentParser:
    """Build the options."""
    result = jsonargparse.ArgumentParser(
        description="Prune a model, distil the whole one into what remains, and measure both. The same command goes on "
        "from wherever it was stopped.",
        usage="%(prog)s [model] data [options]",
    )
    result.add_argument("model", nargs="?", help="model, run or pipeline folder; without it the shipped model")
    result.add_argument("data", help="images to measure and to learn on, as `unetdiff data pack` takes them")
    Asked.add_options(result)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Make what is missing in `out`, and print the report.

    Raises:
        InputError: options that cannot be, or other ones than those that `out` was begun with.
    """
    with user_input():
        asked = Asked.of(parser(), args)
    folder = CompressionFolder(asked.out)
    require_begun_with(asked.settings(weights_hash(find_model(asked.model))), folder.settings)
    for name, stage in STAGES.items():
        result = stage.result(folder)
        print(f"{name}: {result}{' is there' if result.exists() else ''}", file=sys.stderr)
        if not result.exists():
            stage.make(asked, folder)
    print(Report.read(folder.report).text())
    print(folder.model)
