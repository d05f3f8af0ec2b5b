"""Reading and changing feature maps while a network runs; `unetdiff.tap_points` says which there are.

Blocks are handed the taps as an argument and show each place to them (`tapped`), so nothing is hooked, a compiled
network is no exception, and nothing is left behind when a call ends or fails.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from torch import Tensor

from unetdiff.nodes import Node
from unetdiff.tap_points import TapPoint

__all__ = ["Edit", "Tap", "Taps", "inner", "tapped"]

Edit = Callable[[Tensor], Tensor]
"""What the network is to go on with in place of a feature map: of the same shape."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Taps:
    """What is read and changed in one call, at taps of these `points`; what was read is in `features`."""

    capture: Collection[str]
    replace: Mapping[str, Edit]
    points: Mapping[str, TapPoint]
    features: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for argument, names in (("capture", self.capture), ("replace", self.replace)):
            for name in names:
                if name not in self.points:
                    near = ", ".join(get_close_matches(name, self.points)) or "none"
                    raise ValueError(f"{argument}: expected a tap of this network, got {name!r}; near to it: {near}")

    def __call__(self, name: str, x: Tensor) -> Tensor:
        """What to go on with at this tap."""
        edit = self.replace.get(name)
        if edit is not None:
            edited = edit(x)
            if edited.shape != x.shape:
                raise ValueError(f"replace: expected shape {tuple(x.shape)} at {name}, got {tuple(edited.shape)}")
            x = edited
        if name in self.capture:
            self.features[name] = x
        return x

    def wants(self, name: str) -> bool:
        """Whether this tap is read or changed."""
        return name in self.capture or name in self.replace

    def inside(self, node: Node) -> "Tap | None":
        """For the module of a node, if one of the taps lies inside it."""
        outside = (node.name, f"{node.name}:input")
        names = (*self.capture, *self.replace)
        wanted = any(self.points[name].node == node.name and name not in outside for name in names)
        return Tap(taps=self, path=node.name) if wanted else None

    def reached(self, nodes: tuple[Node, ...], stop: bool) -> tuple[Node, ...]:
        """The nodes to run: with `stop`, those up to the last one that is captured.

        Raises:
            ValueError: a tap whose node is not among them.
        """
        captured = {self.points[name].node for name in self.capture}
        if stop:
            ends = [index for index, node in enumerate(nodes) if node.name in captured]
            if not ends:
                raise ValueError("stop: expected a captured tap to stop behind, got none")
            nodes = nodes[: max(ends) + 1]
        run = {node.name for node in nodes}
        for name in (*self.capture, *self.replace):
            if self.points[name].node not in run:
                raise ValueError(f"{name}: expected a tap that is computed, got one of a node that is left out")
        return nodes


@dataclass(frozen=True, kw_only=True, eq=False)
class Tap:
    """The taps as the module of a path sees them."""

    taps: Taps
    path: str

    def __call__(self, site: str, x: Tensor) -> Tensor:
        """What to go on with at this site of the module, or behind it where the site is empty."""
        return self.taps(f"{self.path}:{site}" if site else self.path, x)

    def wants(self, site: str) -> bool:
        """Whether this site is read or changed."""
        return self.taps.wants(f"{self.path}:{site}")


def tapped(tap: Tap | None, site: str, x: Tensor) -> Tensor:
    """What to go on with at a site of a module: x itself without taps."""
    return x if tap is None else tap(site, x)


def inner(tap: Tap | None, name: str) -> Tap | None:
    """The taps as a module inside of this one sees them."""
    return None if tap is None else Tap(taps=tap.taps, path=f"{tap.path}.{name}")
