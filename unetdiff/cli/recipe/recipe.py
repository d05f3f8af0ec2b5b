"""All that decides how noise becomes an image, given the network: the groups of options together."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.recipe.adapter_options import AdapterOptions
from unetdiff.cli.recipe.cache_options import CacheOptions
from unetdiff.cli.recipe.guidance_options import GuidanceOptions
from unetdiff.cli.recipe.level_options import LevelOptions
from unetdiff.cli.recipe.sampler_options import SamplerOptions
from unetdiff.cli.recipe.skip_options import SkipOptions
from unetdiff.cli.recipe.start_options import StartOptions
from unetdiff.model_info import JSON
from unetdiff.plain import from_plain, to_plain

__all__ = ["GROUPS", "Recipe", "options_from"]

Group = TypeVar("Group")

GROUPS = {
    "sampler": SamplerOptions,
    "levels": LevelOptions,
    "guidance": GuidanceOptions,
    "skips": SkipOptions,
    "cache": CacheOptions,
    "start": StartOptions,
    "adapter": AdapterOptions,
}
"""The fields of `Recipe`; no two groups have an option of the same name."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Options without what the images show and without the weights."""

    sampler: SamplerOptions = field(default_factory=SamplerOptions)
    levels: LevelOptions = field(default_factory=LevelOptions)
    guidance: GuidanceOptions = field(default_factory=GuidanceOptions)
    skips: SkipOptions = field(default_factory=SkipOptions)
    cache: CacheOptions = field(default_factory=CacheOptions)
    start: StartOptions = field(default_factory=StartOptions)
    adapter: AdapterOptions = field(default_factory=AdapterOptions)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "Recipe":
        """From parsed options; others may be among them."""
        return cls(**{name: options_from(group, options) for name, group in GROUPS.items()})

    @classmethod
    def from_facts(cls, facts: Mapping[str, JSON]) -> "Recipe":
        """From what `facts` gave; other facts may be among them.

        Raises:
            ValueError: a value that an option cannot take.
        """
        return cls(**{name: from_plain(group, _of(group, facts)) for name, group in GROUPS.items()})

    def facts(self) -> dict[str, JSON]:
        """The options that are set, by name, as plain values."""
        plain = {key: value for name in GROUPS for key, value in to_plain(getattr(self, name)).items()}
        return {key: _finite(value) for key, value in plain.items() if value is not None}

    def resolved(self, model: LoadedModel) -> "Recipe":
        """With what samplers, grid and model folder say where nothing was chosen."""
        preconditioning, config = model.info.preconditioning, model.denoiser.unet.config
        calls = self.sampler.make().network_calls(self.start.rest(self.levels.falling(preconditioning)))
        return replace(
            self,
            sampler=self.sampler.resolved(),
            levels=self.levels.resolved(preconditioning),
            cache=self.cache.resolved(config),
            skips=self.skips.resolved(model, self.sampler.sampler, calls),
            start=self.start.resolved(),
        )


def options_from(group: type[Group], options: Mapping[str, Any]) -> Group:
    """A dataclass from the options of the names of its fields; others may be among them."""
    return group(**_of(group, options))


def _of(group: type[object], values: Mapping[str, Any]) -> dict[str, Any]:
    names = [entry.name for entry in fields(group)]  # type: ignore[arg-type]  # a dataclass
    return {name: values[name] for name in names if name in values}


def _finite(value: JSON) -> JSON:
    """Without infinities, which JSON lacks and which are defaults."""
    if not isinstance(value, Mapping):
        return value
    return {key: item for key, item in value.items() if item not in (float("inf"), float("-inf"))}
