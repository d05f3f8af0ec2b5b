"""How much memory work takes at once: what the accelerator's allocator says, or the sum over living tensors."""

import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["peak_memory"]


def peak_memory(work: Callable[[], object], device: torch.device) -> int:
    """The most bytes that tensors of `work` on `device` hold at any moment, beside those that exist already.

    On a CPU the scratch memory inside an operation does not count.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    tensors = _LivingTensors()
    with tensors:
        work()
    return tensors.peak


class _LivingTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]  # its subclass hook
    """Follows each storage from the operation that returns it to its end."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: int = 0
        self.peak: int = 0
        self._known: weakref.WeakSet[UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Collection[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        self._known.update(_storages(args))
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage not in self._known:
                self._known.add(storage)
                self._grow(storage.nbytes())
                weakref.finalize(storage, self._grow, -storage.nbytes())
        return result

    def _grow(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)


def _storages(tree: object) -> list[UntypedStorage]:
    """The memory behind the tensors of nested lists and tuples; a view shares that of its origin."""
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
