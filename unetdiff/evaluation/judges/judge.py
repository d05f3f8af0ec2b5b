"""What a judge is shown, and what it says: numbers, each with its interval and with the same number of real images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from unetdiff.evaluation.bootstrap import Interval
from unetdiff.evaluation.image_set import ImageSet
from unetdiff.model_info import JSON

__all__ = ["Candidates", "Finding", "Judge", "Measure"]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The images that are judged, and for each the class or the caption that it should show, where that is known."""

    images: ImageSet
    shown: Sequence[str | None]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number.

    Attributes:
        name: What it measures.
        value: Of the images judged.
        interval: Of 95%, where other images of their kind would have it.
        deviation: Where it is a mean over parts of the images, that of the parts.
        floor: The same number of real images: what a perfect model would get.
        form: How it is printed.
        about: The images, or the model whatever the images.
    """

    name: str
    value: float
    interval: Interval | None = None
    deviation: float | None = None
    floor: float | None = None
    form: Literal["share", "number"] = "number"
    about: Literal["images", "model"] = "images"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Measures, what is to be said about them below the table, and further facts by name."""

    measures: Sequence[Measure]
    text: str = ""
    facts: Mapping[str, JSON] = field(default_factory=dict)


class Judge(Protocol):
    """Of images."""

    def __call__(self, candidates: Candidates) -> Finding:
        """Look at them."""
