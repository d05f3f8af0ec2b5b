"""What a network costs, node by node, from its configuration alone.

The real network runs once on the meta device, where tensors have shapes but no values: every architecture is described
by the code that computes it, exactly, in a second and without its weights.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from unetdiff.config import UNetConfig
from unetdiff.nodes import Node
from unetdiff.plain import require
from unetdiff.unet import UNet

__all__ = ["LevelCost", "NodeCost", "costs", "costs_of_levels"]


@dataclass(frozen=True, kw_only=True)
class NodeCost:
    """A node, or a part of the embedding path (kind `embedding`, without a level), at one size, for one image.

    The kind of a node that was taken out is what is left of it: `identity`, `shortcut` or `zero`.

    Attributes:
        height, width: of the output; an embedding is one position.
        tokens: positions that attend to each other, 0 without attention.
        macs: multiply-accumulates of convolutions and matrix products: linear layers, q k^T, attention times v. Norms,
            activations and sums are not counted.
        activation_bytes: float32 tensors that the backward pass needs and this node is the first to keep, without
            parameters. An estimate: attention is taken as fused, which keeps q, k, v and its output instead of a
            tokens x tokens matrix; row statistics of fused attention and masks of dropout are left out.
    """

    name: str
    kind: str
    level: int | None = None
    in_channels: int
    skip_channels: int = 0
    skip_from: str | None = None
    out_channels: int
    height: int = 1
    width: int = 1
    tokens: int = 0
    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True, kw_only=True)
class LevelCost:
    """Sums over a level, whose resolution is its residual blocks'; level None is the embedding path."""

    level: int | None
    height: int
    width: int
    tokens: int
    parameters: int
    macs: int
    activation_bytes: int


def costs(config: UNetConfig, size: tuple[int, int], context_tokens: int = 77) -> tuple[NodeCost, ...]:
    """One row for each part of the embedding path and each node, in the order of computation.

    Args:
        config: the network.
        size: height and width of its input; a node's own size includes the padding that the network adds.
        context_tokens: length of `encoder_hidden_states`, where the network has cross-attention.
    """
    require(min(size) >= 1, "size", "a positive height and width", size)
    nodes = {node.name: node for node in config.nodes()}
    with torch.device("meta"):
        unet = UNet(config).eval()
        x, timestep = torch.zeros(1, config.in_channels, *size), torch.zeros(1)
        condition = _condition(config, context_tokens)
    names = (*_embeddings(unet, nodes), *nodes)
    run = _Run(unet, names)
    counter = FlopCounterMode(display=False)
    with torch.enable_grad(), saved_tensors_hooks(run.save, _unchanged), _FusedAttention(run.save), counter:
        unet(x, timestep, **condition)
    flops = counter.get_flop_counts()  # of modules that multiply
    macs = {name: sum(flops.get(f"{type(unet).__name__}.{name}", {}).values()) // 2 for name in names}
    return tuple(_row(name, nodes.get(name), unet.get_submodule(name), run, macs[name]) for name in names)


def costs_of_levels(rows: Sequence[NodeCost]) -> tuple[LevelCost, ...]:
    """Sum rows by level, the embedding path first and then from the finest level to the coarsest."""
    levels = dict.fromkeys(row.level for row in rows)
    return tuple(_level([row for row in rows if row.level == level]) for level in levels)


def _level(rows: Sequence[NodeCost]) -> LevelCost:
    first = rows[0]  # of the encoder, before the level's resampling
    return LevelCost(
        level=first.level,
        height=first.height,
        width=first.width,
        tokens=max(row.tokens for row in rows),
        parameters=sum(row.parameters for row in rows),
        macs=sum(row.macs for row in rows),
        activation_bytes=sum(row.activation_bytes for row in rows),
    )


def _condition(config: UNetConfig, context_tokens: int) -> dict[str, Tensor]:
    """Every condition that the network takes, for one image."""
    shapes = {
        "vector": config.vector_channels,
        "augment_labels": config.augment_channels,
        "timestep_cond": config.time.cond_channels,
    }
    condition = {name: torch.zeros(1, width) for name, width in shapes.items() if width is not None}
    if config.cross_attention_dim is not None:
        condition["encoder_hidden_states"] = torch.zeros(1, context_tokens, config.cross_attention_dim)
    if config.num_classes is not None:
        condition["class_labels"] = torch.zeros(1, dtype=torch.long)
    elif config.class_projection is not None:
        condition["class_labels"] = _projected_label(config)
    return condition


def _projected_label(config: UNetConfig) -> Tensor:
    if config.class_projection == "timestep":
        return torch.zeros(1)
    if config.class_channels is not None:
        return torch.zeros(1, config.class_channels)
    return torch.zeros(1, config.time_channels if config.time.labels == "before" else config.embedding_channels)


def _embeddings(unet: UNet, nodes: Collection[str]) -> list[str]:
    """Parts of the network that hold parameters and no node."""
    heads = {name.partition(".")[0] for name in nodes}
    return [
        name for name, module in unet.named_children() if name not in heads and any(True for _ in module.parameters())
    ]


class _Run:
    """What is seen of a forward pass: the shapes of each row's input and output, and the bytes that it saves first."""

    def __init__(self, unet: UNet, names: Sequence[str]) -> None:
        self.shapes: dict[str, tuple[torch.Size, torch.Size]] = {}
        self.saved: Counter[str] = Counter()
        self._row = names[0]
        self._seen = {_storage(tensor) for tensor in (*unet.parameters(), *unet.buffers())}
        for name in names:
            module = unet.get_submodule(name)
            module.register_forward_pre_hook(partial(self._enter, name))
            module.register_forward_hook(partial(self._leave, name))

    def save(self, tensor: Tensor) -> Tensor:
        """Count a tensor's storage once; what stands between two rows belongs to the one before."""
        storage = _storage(tensor)
        if storage not in self._seen:
            self._seen.add(storage)
            self.saved[self._row] += tensor.untyped_storage().nbytes()
        return tensor

    def _enter(self, name: str, module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        self._row = name

    def _leave(self, name: str, module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        self.shapes[name] = (arguments[0].shape, output.shape)


class _FusedAttention(TorchFunctionMode):
    """Attention saves q, k and v, as the fused kernels do; the meta device has none and would save the matrix.

    The output is saved by the layer that takes it.
    """

    def __init__(self, save: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._save = save

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Collection[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        for tensor in args[:3]:
            self._save(tensor)
        with saved_tensors_hooks(_unchanged, _unchanged):
            return func(*args, **(kwargs or {}))


def _storage(tensor: Tensor) -> StorageWeakRef:
    """Identity of the memory behind a tensor, which views share."""
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


def _row(name: str, node: Node | None, module: nn.Module, run: _Run, macs: int) -> NodeCost:
    taken, given = run.shapes[name]
    row = NodeCost(
        name=name,
        kind="embedding",
        in_channels=taken[1:].numel(),
        out_channels=given[1:].numel(),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        macs=macs,
        activation_bytes=run.saved[name],
    )
    return row if node is None else _placed(row, node, *given[2:])


def _placed(row: NodeCost, node: Node, height: int, width: int) -> NodeCost:
    return replace(
        row,
        kind=node.removed or node.kind,
        level=node.level,
        in_channels=node.in_channels,
        skip_channels=node.skip_channels,
        skip_from=node.skip_from,
        out_channels=node.out_channels,
        height=height,
        width=width,
        tokens=0 if node.attention is None or node.removed else height * width,
    )
