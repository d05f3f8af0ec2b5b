"""Which image is asked for: a seed, what it is to show, and where its noise and its start come from.

An image's name says which it is; its facts say the same in words, and `Sample.from_facts` reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from unetdiff.model_info import JSON
from unetdiff.plain import from_plain, to_plain

__all__ = ["Sample", "Source", "Subject", "Towards"]

NAMES = {"class": "class_name", "prompt": "prompt_text", "vector": "vector_values"}
"""The facts that say in words what a number means; beside another one, the class is the label."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A class with its name, a prompt with its text, or a vector with its values; `number` counts from 0."""

    kind: Literal["class", "prompt", "vector"]
    number: int
    name: str


@dataclass(frozen=True, kw_only=True)
class Towards:
    """The share `step` / `of` of the way from the noise of one seed to that of another."""

    seed: int
    step: int
    of: int


@dataclass(frozen=True, kw_only=True)
class Source:
    """The picture that an image starts from, or that the network is told."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image; a model without classes and without text has no subject.

    `label`: the class beside a prompt or a vector, of a model that is told both.
    """

    seed: int
    subject: Subject | None = None
    towards: Towards | None = None
    source: Source | None = None
    label: Subject | None = None

    @property
    def shown(self) -> tuple[Subject, ...]:
        """All that it is to show."""
        return tuple(one for one in (self.subject, self.label) if one is not None)

    @property
    def file(self) -> str:
        """Name of its PNG."""
        subject = "".join(f"{one.kind}{one.number:04d}-" for one in self.shown)
        towards = self.towards
        way = "" if towards is None else f"-{towards.step:03d}of{towards.of:03d}-seed{towards.seed:06d}"
        return f"{subject}seed{self.seed:06d}{way}.png"

    def facts(self) -> dict[str, JSON]:
        """What its name says, and the name."""
        facts: dict[str, JSON] = {"file": self.file, "seed": self.seed}
        for one in self.shown:
            facts |= {one.kind: one.number, NAMES[one.kind]: one.name}
        for name, part in (("towards", self.towards), ("source", self.source)):
            if part is not None:
                facts[name] = to_plain(part)
        return facts

    @classmethod
    def from_facts(cls, facts: Mapping[str, JSON]) -> "Sample":
        """From what `facts` gave; other facts may be among them.

        Raises:
            ValueError: a fact that is missing or of the wrong type.
        """
        values = {name: facts[name] for name in ("seed", "towards", "source") if name in facts}
        shown = [
            {"kind": kind, "number": facts[kind], "name": facts.get(name)}
            for kind, name in reversed(NAMES.items())
            if kind in facts
        ]
        values |= dict(zip(("subject", "label"), shown, strict=False))
        return from_plain(cls, values, "image")
