"""What is compared of each model: every sampler with every skip-tuning, guidance and number of steps."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from unetdiff.cli.recipe import Recipe
from unetdiff.cli.recipe.number_list import read_numbers
from unetdiff.plain import require

__all__ = ["Setting", "SettingOptions"]

OFF = "off"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Options of `Recipe` of the same names."""

    sampler: str
    steps: int
    skip: str | None
    guidance: float

    def recipe(self, options: Mapping[str, Any]) -> Recipe:
        """With other parsed options, which are the same in every setting.

        Raises:
            ValueError: options that no recipe can have.
        """
        return Recipe.from_options({**options, **asdict(self)})

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """As it is printed."""
        return self.sampler, str(self.steps), self.skip or OFF, f"{self.guidance:g}"


@dataclass(frozen=True, kw_only=True)
class SettingOptions:
    """Settings, each with each.

    Attributes:
        sampler: Names with commas between, such as heun,unipc.
        steps: Numbers of steps with commas between, such as 5,9,18.
        skip: Skip-tunings with commas between, such as off,auto,0.8,0.8:0.95; each off, or as `unetdiff sample` takes
            it.
        guidance: Weights of guidance with commas between, such as 1,1.5; 1 is none.
    """

    sampler: str = "heun"
    steps: str = "18"
    skip: str = OFF
    guidance: str = "1"

    @property
    def settings(self) -> list[Setting]:
        """Those of a sampler one after the other, with the steps rising.

        Raises:
            ValueError: steps that are no whole numbers, or weights that are no numbers.
        """
        weights = read_numbers(self.guidance, "guidance", "numbers with commas between")
        choices = product(_words(self.sampler), _words(self.skip), dict.fromkeys(weights), self._step_counts())
        return [
            Setting(sampler=sampler, steps=steps, skip=None if skip == OFF else skip, guidance=guidance)
            for sampler, skip, guidance, steps in choices
        ]

    def _step_counts(self) -> list[int]:
        expected = "whole numbers of at least 1 with commas between"
        counts = read_numbers(self.steps, "steps", expected)
        require(all(count >= 1 and count.is_integer() for count in counts), "steps", expected, self.steps)
        return sorted({int(count) for count in counts})


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in text.split(",")))
