"""What a network saves without each of its parts, counted by its own code on the meta device.

A node costs what it costs whatever is left of the others. So one description is enough for all parts at the same place
in their nodes: for all nodes, for the first blocks of all transformers, and so on.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from unetdiff.config import UNetConfig
from unetdiff.describe import NodeCost, costs
from unetdiff.prune.parts import Part
from unetdiff.removal import Removal

__all__ = ["Cost", "Probe"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a network, or saved: parameters, and multiply-accumulates for one image."""

    parameters: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A network as `unetdiff.describe` sees it, at one size and length of its context."""

    config: UNetConfig
    size: tuple[int, int]
    context_tokens: int = 77

    def total(self, removed: Mapping[str, Removal]) -> Cost:
        """Of the network without these parts too."""
        rows = (self._rows(removed) if removed else self._whole).values()
        return Cost(parameters=sum(row.parameters for row in rows), macs=sum(row.macs for row in rows))

    def savings(self, parts: Sequence[Part]) -> dict[str, Cost]:
        """Of each part by its name."""
        places: dict[str, list[Part]] = defaultdict(list)
        for part in parts:
            places[part.place].append(part)
        before, saved = self._whole, dict[str, Cost]()
        for together in places.values():
            after = self._rows({part.name: part.way for part in together})
            saved |= {part.name: _difference(before[part.node], after[part.node]) for part in together}
        return {part.name: saved[part.name] for part in parts}

    @cached_property
    def _whole(self) -> dict[str, NodeCost]:
        return self._rows({})

    def _rows(self, removed: Mapping[str, Removal]) -> dict[str, NodeCost]:
        return {row.name: row for row in costs(self.config.without(removed), self.size, self.context_tokens)}


def _difference(before: NodeCost, after: NodeCost) -> Cost:
    return Cost(parameters=before.parameters - after.parameters, macs=before.macs - after.macs)
