"""The units that width pruning takes out one by one, and the slices of the parameters that belong to each.

A unit is a group of channels of a residual block, a head, or a channel of a feed-forward layer (`unetdiff.widths`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from unetdiff.config import UNetConfig
from unetdiff.widths import narrowable

__all__ = ["Cut", "Part", "parts"]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Dimension `dim` of a parameter is (copies, units, channels of a unit): what `conv1.weight` or `to_q.bias` gives.

    There are two copies where the output is chunked: scale and shift of AdaGN, value and gate of GEGLU.
    """

    parameter: str
    dim: int
    copies: int = 1

    def keep(self, tensor: Tensor, units: int, kept: Tensor) -> Tensor:
        """The parameter with the slices of some units alone."""
        some = self._apart(tensor, units).index_select(self.dim + 1, kept.to(tensor.device))
        return some.flatten(self.dim, self.dim + 2)

    def by_unit(self, tensor: Tensor, units: int) -> Tensor:
        """(units, numbers of a unit): the slices, or what belongs to them."""
        return self._apart(tensor, units).movedim(self.dim + 1, 0).flatten(1)

    def _apart(self, tensor: Tensor, units: int) -> Tensor:
        apart: Tensor = tensor.unflatten(self.dim, (self.copies, units, -1))  # type: ignore[no-untyped-call]
        return apart


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a network with `units` units of `step` channels (or 1 head) each; `whole` is its width when trained."""

    units: int
    step: int
    whole: int
    cuts: tuple[Cut, ...]


def parts(config: UNetConfig) -> dict[str, Part]:
    """All parts of a network that can be narrower, by name, in the order of computation."""
    return {
        name: Part(
            units=config.widths.get(name, inside.width) // inside.step,
            step=inside.step,
            whole=inside.width,
            cuts=tuple(_cuts(name, config)),
        )
        for name, inside in narrowable(config).items()
    }


def _cuts(name: str, config: UNetConfig) -> Iterator[Cut]:
    last = name.rpartition(".")[2]
    if last == "ff":
        yield from (Cut(parameter=f"{name}.net.0.proj.{kind}", dim=0, copies=2) for kind in ("weight", "bias"))
        yield Cut(parameter=f"{name}.net.2.weight", dim=1)
    elif "attentions" in name:
        kinds = ("weight",) if last.startswith("attn") else ("weight", "bias")
        yield from (Cut(parameter=f"{name}.{to}.{kind}", dim=0) for to in ("to_q", "to_k", "to_v") for kind in kinds)
        yield Cut(parameter=f"{name}.to_out.0.weight", dim=1)
    else:
        copies = 2 if config.resnet.time_conditioning == "scale_shift" else 1
        for kind in ("weight", "bias"):
            yield Cut(parameter=f"{name}.conv1.{kind}", dim=0)
            yield Cut(parameter=f"{name}.time_emb_proj.{kind}", dim=0, copies=copies)
            yield Cut(parameter=f"{name}.norm2.{kind}", dim=0)
        yield Cut(parameter=f"{name}.conv2.weight", dim=1)
