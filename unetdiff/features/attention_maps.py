"""Where in the picture each token of a text acts: cross-attention pooled over heads, layers and steps of sampling.

    A_m(i) = mean over steps, layers and heads of softmax(q k^T / sqrt(d))_im

for token m and position i, all layers resized to one size. Tang et al. 2023, "What the DAAM" (equations 4 to 6), with
means for sums, so that the maps of all tokens still sum to 1 at every position. https://arxiv.org/abs/2210.04885
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from unetdiff.errors import user_input
from unetdiff.features.capture import capture
from unetdiff.plain import require
from unetdiff.unet import UNet

__all__ = ["AttentionMaps", "Half"]

Half = Literal["first", "last"]

CROSS_ATTENTION = ".attn2:probabilities"


@dataclass(kw_only=True, eq=False)
class AttentionMaps:
    """Cross-attention of the network's calls inside `reading`, summed call by call: memory does not grow with steps.

    Attributes:
        images: rows of a call, without those of guidance.
        conditional: which half of the rows to read where a call has twice as many, as classifier-free guidance makes
            it: "first" with `samplers.guided_in_one_call`, "last" in the pipelines of diffusers.
    """

    images: int
    conditional: Half | None = None
    _sums: dict[str, Tensor] = field(default_factory=dict, init=False)
    _calls: dict[str, int] = field(default_factory=lambda: defaultdict(int), init=False)
    _sizes: dict[str, tuple[int, int]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        require(self.images >= 1, "images", "a positive number", self.images)

    @contextmanager
    def reading(self, unet: UNet) -> Iterator["AttentionMaps"]:
        """Read along while something samples with this network; it computes what it always does, to the bit.

        May be opened again, to go on with the same maps: around the conditional one of two denoisers, for instance.

        Raises:
            InputError: a network without cross-attention.
            ValueError: a call with rows that are not the images', nor twice as many.
        """
        layers = [name for name in unet.taps if name.endswith(CROSS_ATTENTION)]
        with user_input():
            require(bool(layers), "unet", "a network with cross-attention", "one without")
        nodes = {unet.taps[name].node for name in layers}
        edits = {name: partial(self._add, name, unet.taps[name].node) for name in layers}
        sizes = {f"{node}:input": partial(self._note_size, node) for node in nodes}
        with capture(unet, replace={**edits, **sizes}):
            yield self

    @property
    def by_layer(self) -> dict[str, Tensor]:
        """(N, tokens, h, w) of each cross-attention layer, by its name: the mean over heads and calls so far."""
        return {name.removesuffix(":probabilities"): total / self._calls[name] for name, total in self._sums.items()}

    def pooled(self, size: tuple[int, int] | None = None) -> Tensor:
        """(N, tokens, *size), the mean over layers too; of the size of the largest layer's map when left out.

        It covers the image as the network saw it: padded, where its size is no multiple of the network's stride.

        Raises:
            ValueError: nothing was read.
        """
        layers = list(self.by_layer.values())
        require(bool(layers), "maps", "a call of the network while they were read", "none")
        largest = max((tuple(layer.shape[2:]) for layer in layers), key=lambda shape: shape[0] * shape[1])
        resized = [F.interpolate(layer, size or largest, mode="bilinear", antialias=True) for layer in layers]
        return torch.stack(resized).mean(dim=0)

    def _note_size(self, node: str, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        self._sizes[node] = height, width
        return x

    def _add(self, name: str, node: str, probabilities: Tensor) -> Tensor:
        """Add one call's (rows, heads, positions, tokens) of a layer; give them back as they are."""
        height, _ = self._sizes[node]
        mean = probabilities.detach()[self._rows(len(probabilities))].float().mean(dim=1)
        maps = rearrange(mean, "n (h w) m -> n m h w", h=height)
        self._sums[name] = self._sums[name] + maps if name in self._sums else maps
        self._calls[name] += 1
        return probabilities

    def _rows(self, rows: int) -> slice:
        """Those that are told the text."""
        if rows == self.images:
            return slice(None)
        require(rows == 2 * self.images, "images", f"{rows} as in a call of the network, or half of it", self.images)
        require(self.conditional is not None, "conditional", "first or last half, since calls are guided", None)
        return slice(self.images) if self.conditional == "first" else slice(self.images, None)
