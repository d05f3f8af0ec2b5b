"""The end of `--help` of the commands that sample: names of samplers and grids, each with the options that it takes."""

from collections.abc import Callable, Mapping, Sequence

import jsonargparse

import samplers
from unetdiff.cli.recipe.level_options import LevelOptions
from unetdiff.cli.recipe.sampler_options import SamplerOptions

__all__ = ["HelpWithLists", "help_lists"]


class HelpWithLists(jsonargparse.DefaultHelpFormatter):
    """Keeps the lines of a text that has some, as `argparse.RawDescriptionHelpFormatter` does of all texts."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


def help_lists() -> str:
    """A line for each sampler and each grid."""
    return "\n\n".join(
        [
            _names("samplers", "sampler", samplers.SAMPLERS, SamplerOptions.options_of),
            _names("grids", "grid", samplers.GRIDS, LevelOptions.options_of),
        ]
    )


def _names(title: str, kind: str, known: Mapping[str, object], options_of: Callable[[str], Sequence[str]]) -> str:
    lines = [f"  {name:<20}{', '.join(options_of(name))}".rstrip() for name in known]
    return "\n".join([f"{title} (--{kind}) and their options:", *lines])
