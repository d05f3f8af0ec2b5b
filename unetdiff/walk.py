"""One call of the network: its nodes run one after the other, joined by the feature maps that later ones take.

Which nodes take what is the configuration's; what a call does beside it is optional: skip factors and ControlNet's
residuals where skips join, taps, a cache in place of everything inside a skip (Ma et al. 2024, DeepCache,
https://arxiv.org/abs/2312.00858), and forks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unetdiff.nn.resnet import ResnetBlock
from unetdiff.nn.skip import Joint
from unetdiff.nn.stub import Stub
from unetdiff.nn.taps import Tap, Taps
from unetdiff.nn.transformer import Transformer
from unetdiff.nodes import Node

__all__ = ["Fork", "Route", "SkipCache", "Walk"]


@dataclass(kw_only=True, eq=False)
class SkipCache:
    """The main path u (N, C_u, H, W) that the skip of this name joins: what the nodes inside the skip compute."""

    skip: str
    u: Tensor | None = None

    def exchange(self, node: Node, u: Tensor, d: Tensor) -> Tensor:
        """Keep u, where there is none; return what `node` joins with the skip's d."""
        if self.u is None:
            self.u = u
        expected = (d.shape[0], node.in_channels, *d.shape[2:])
        if self.u.shape != expected:
            raise ValueError(f"skip_cache: expected {expected} at {self.skip}, got shape {tuple(self.u.shape)}")
        return self.u


@dataclass(frozen=True, kw_only=True)
class Route:
    """The nodes of a network, and by their names what passes between them beside the main path.

    Attributes:
        nodes: in the order in which they run.
        skips: where skip connections come from, innermost first.
        taken: whose feature maps later nodes take.
        size_of: for an upsampler the skip whose size it takes, in networks where sizes match their skips.
        innermost: the last node before the first skip joins: the middle, or the deepest of a network without one.
    """

    nodes: tuple[Node, ...]
    skips: tuple[str, ...]
    taken: frozenset[str | None]
    size_of: Mapping[str, str]
    innermost: str

    @classmethod
    def of(cls, nodes: tuple[Node, ...], skips: Sequence[str], *, match_sizes: bool) -> "Route":
        """Of a configuration's nodes and skips."""
        first_joined = next(index for index, node in enumerate(nodes) if node.skip_from is not None)
        return cls(
            nodes=nodes,
            skips=tuple(skips),
            taken=frozenset({node.residual_from for node in nodes} | set(skips)),
            size_of=_upsampled_to(nodes) if match_sizes else {},
            innermost=nodes[first_joined - 1].name,
        )

    def without_cached(self, cache: SkipCache | None) -> tuple[Node, ...]:
        """All nodes, or those up to the one that a cached skip comes from and those from the one that it joins at.

        Raises:
            ValueError: no such skip.
        """
        if cache is not None and cache.skip not in self.skips:
            raise ValueError(f"skip_cache: expected a skip among {list(self.skips)}, got {cache.skip!r}")
        if cache is None or cache.u is None:
            return self.nodes
        source = next(index for index, node in enumerate(self.nodes) if node.name == cache.skip)
        joins = next(index for index, node in enumerate(self.nodes) if node.skip_from == cache.skip)
        return self.nodes[: source + 1] + self.nodes[joins:]


@dataclass(kw_only=True, eq=False)
class _State:
    """Where a walk has come to: the main path, and by their names the feature maps still to be taken."""

    x: Tensor
    kept: dict[str | None, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """What the nodes share in one call, beside the main path.

    Attributes:
        route: of the network.
        nodes: those of it that run.
        module: of a node's name.
        checkpoint: gradient checkpointing of a module and its arguments, where it is on.
        finish: from the last node's feature map to the network's output.
        embedding: of time and conditions, (N, embedding_channels).
        context: (N, M, cross_attention_dim), the tokens that cross-attention reads.
        bias: (N, 1, 1, M), added to its logits.
        joint: how skips join.
        middle: added to the innermost node's output (ControlNet).
        cache: of what lies inside a skip.
        taps: feature maps that are read or changed.
    """

    route: Route
    nodes: tuple[Node, ...]
    module: Callable[[str], nn.Module]
    checkpoint: Callable[..., Tensor] | None
    finish: Callable[[Tensor], Tensor]
    embedding: Tensor
    context: Tensor | None
    bias: Tensor | None
    joint: Joint
    middle: Tensor | None
    cache: SkipCache | None
    taps: Taps

    def run(self, x: Tensor, fork: "Callable[[Fork], None] | None" = None) -> Tensor:
        """The last node's feature map; `fork` is called in front of every node."""
        state = _State(x=x, kept={"sample": x})
        for index, node in enumerate(self.nodes):
            if fork is not None:
                fork(Fork(node=node, _walk=self, _state=state, _behind=self.nodes[index + 1 :]))
            self._step(state, node, self.module(node.name))
        return state.x

    def _step(self, state: _State, node: Node, module: nn.Module) -> None:
        """Go on by one node, which `module` computes."""
        x, kept = state.x, state.kept
        scales: Sequence[Tensor | None] = ()
        if node.skip_from is not None:
            d = kept.pop(node.skip_from)
            if self.cache is not None and node.skip_from == self.cache.skip:
                x = self.cache.exchange(node, x, d)
            x, *scales = self.joint(node, x, d)
        x = self.taps(f"{node.name}:input", x)
        x = self.taps(node.name, self._computed(node, module, self._arguments(node, module, x, scales, kept)))
        if node.name in self.route.taken:
            kept[node.name] = x
        if node.name == self.route.innermost and self.middle is not None:
            x = x + self.middle
        state.x = x

    def _arguments(
        self,
        node: Node,
        module: nn.Module,
        x: Tensor,
        scales: Sequence[Tensor | None],
        kept: Mapping[str | None, Tensor],
    ) -> tuple[object, ...]:
        """What the module of a node takes."""
        if isinstance(module, ResnetBlock):
            return (x, self.embedding, *scales)
        if isinstance(module, Stub):
            return (x, *scales[:1])
        if isinstance(module, Transformer):
            return (x, self.context, self.bias)
        if node.kind == "input_residual":
            return (x, kept[node.residual_from])
        if node.name in self.route.size_of:
            return (x, kept[self.route.size_of[node.name]].shape[2:])
        return (x,)

    def _computed(self, node: Node, module: nn.Module, arguments: tuple[object, ...]) -> Tensor:
        """What the module gives; recomputed in the backward pass where gradient checkpointing is on."""
        if (tap := self.taps.inside(node)) is not None:
            out: Tensor = _uncompiled(module, arguments, tap)
        elif self.checkpoint is not None:
            out = self.checkpoint(module, *arguments)
        else:
            out = module(*arguments)
        return F.silu(out) if node.kind == "norm" else out


@dataclass(frozen=True, kw_only=True, eq=False)
class Fork:
    """A call of the network in front of a node, from where it can go on with another module in the node's place.

    What came before is not computed again, edits at taps behind it are made in every continuation, and the call itself
    goes on unchanged. It is of use until the function that it was handed to returns.
    """

    node: Node
    _walk: Walk
    _state: _State
    _behind: tuple[Node, ...]

    def feature(self, module: nn.Module) -> Tensor:
        """The node's feature map, as `module` computes it."""
        return self._stepped(module).x

    def output(self, module: nn.Module) -> Tensor:
        """The network's output, (N, out_channels, H, W), with `module` in the node's place."""
        state = self._stepped(module)
        for node in self._behind:
            self._walk._step(state, node, self._walk.module(node.name))
        return self._walk.finish(state.x)

    def _stepped(self, module: nn.Module) -> _State:
        state = _State(x=self._state.x, kept=dict(self._state.kept))
        self._walk._step(state, self.node, module)
        return state


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _uncompiled(module: nn.Module, arguments: tuple[object, ...], tap: Tap) -> Tensor:
    """What a node's module gives while it is read inside: of a compiled one too, whose code knows nothing of taps."""
    with torch.compiler.set_stance("force_eager"):
        out: Tensor = module(*arguments, tap=tap)
    return out


def _upsampled_to(nodes: Sequence[Node]) -> Mapping[str, str]:
    """For each upsampler the skip that is joined next, whose size it takes."""
    joined = {}
    for index, node in enumerate(nodes):
        if node.kind == "upsample":
            skip = nodes[index + 1].skip_from
            assert skip is not None
            joined[node.name] = skip
    return joined
