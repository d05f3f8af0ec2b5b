"""The end of `--help` of the commands that sample: names of samplers and grids, each with the options that it takes."""

from collections.abc import Callable, Mapping, Sequence

import samplers
from unetdiff.cli.recipe.level_options import LevelOptions
from unetdiff.cli.recipe.sampler_options import SamplerOptions

__all__ = ["help_lists"]


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
