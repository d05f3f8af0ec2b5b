"""How noise becomes an image, as options: plain data that a command line, a PNG and a manifest carry alike.

Each module has a group of options and turns it into what `samplers` and `unetdiff.skips` understand. A field is an
option of the same name; None leaves a setting to the sampler, the grid or the model, and `resolved` says what that is.
"""

from unetdiff.cli.recipe.adapter_options import AdapterOptions
from unetdiff.cli.recipe.cache_options import CacheOptions
from unetdiff.cli.recipe.guidance_options import GuidanceOptions
from unetdiff.cli.recipe.level_options import LevelOptions
from unetdiff.cli.recipe.recipe import GROUPS, Recipe
from unetdiff.cli.recipe.sampler_options import SamplerOptions
from unetdiff.cli.recipe.skip_options import SkipOptions
from unetdiff.cli.recipe.start_options import StartOptions

__all__ = [
    "GROUPS",
    "AdapterOptions",
    "CacheOptions",
    "GuidanceOptions",
    "LevelOptions",
    "Recipe",
    "SamplerOptions",
    "SkipOptions",
    "StartOptions",
]
