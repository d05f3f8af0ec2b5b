"""Where the numbers of one forward and backward pass first break, by hooks on every module of the loss.

Forward hooks run in the order of computation and leaves before what contains them, so that the first output that is not
finite has the name of the smallest module. In the backward pass each module sees the gradient at its output, then the
one at its input: where the first is finite and the second is not, the module made it so; where the first is not, what
is computed between that module and the next did.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from unetdiff.losses import TrainingLoss
from unetdiff.training.sharding import local

__all__ = ["Finding", "Watch", "watching"]

Kind = Literal["values", "output", "gradient at the output", "gradient at the input", "gradient", "gradient's norm"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The `kind` of `name` is not finite in the rows `rows` of a batch.

    `name` is a tensor of the batch (of kind "values"), a parameter ("gradient"; "gradient's norm", where every number
    is finite: the parameter with the largest) or else a module; names in the U-Net are those of its state dict.
    `broken_weights` are the module's parameters that are not finite themselves.
    """

    kind: Kind
    name: str
    rows: tuple[int, ...]
    broken_weights: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.kind == "gradient's norm":
            return f"the gradient's norm, though each number is finite; the largest is that of {self.name}"
        weights = f" (whose {' and '.join(self.broken_weights)} is not)" if self.broken_weights else ""
        return f"the {self.kind} of {self.name}{weights}"


@dataclass
class Watch:
    """What is seen: the tensors that the loss was given, its value for each image, and the first finding, if any."""

    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    losses: Tensor | None = None
    finding: Finding | None = None

    def begin(self, loss: nn.Module, args: tuple[Tensor, ...], condition: Mapping[str, object]) -> None:
        """Take the inputs of `TrainingLoss.forward`."""
        named = dict(zip(("images", "noise", "sigma"), args, strict=True))
        conditions = {f"condition.{key}": value for key, value in condition.items() if isinstance(value, Tensor)}
        self.inputs = {name: tensor.detach() for name, tensor in {**named, **conditions}.items()}
        for name, tensor in self.inputs.items():
            self._see("values", name, tensor)

    def enter(self, name: str, module: nn.Module, args: tuple[object, ...]) -> tuple[object, ...]:
        """Watch the gradient that this module gives to its inputs: not what others add to it, hence the views."""
        return tuple(self._entered(name, value) for value in args)

    def leave(self, name: str, module: nn.Module, args: tuple[object, ...], output: object) -> None:
        """Look at the output, and later at its gradient."""
        for tensor in output if isinstance(output, tuple) else (output,):
            if isinstance(tensor, Tensor):
                self._see("output", name, tensor, module)
                if tensor.requires_grad:
                    tensor.register_hook(partial(self._see, "gradient at the output", name))  # type: ignore[no-untyped-call]

    def end(self, loss: nn.Module, args: tuple[object, ...], output: Tensor) -> None:
        """Take the losses."""
        self.losses = output.detach()

    def look_at_gradients(self, loss: nn.Module) -> None:
        """Where nothing broke on the way, look at what arrived in the parameters, last computed first."""
        parameters = reversed(list(loss.named_parameters()))
        gradients = {name: local(parameter.grad) for name, parameter in parameters if parameter.grad is not None}
        for name, gradient in gradients.items():
            self._see("gradient", _in_unet(name), gradient)
        norms = {name: gradient.norm() for name, gradient in gradients.items()}
        if self.finding is None and not torch.stack(list(norms.values())).norm().isfinite():
            largest = max(norms, key=lambda name: float(norms[name]))
            self.finding = Finding(kind="gradient's norm", name=_in_unet(largest), rows=self._all_rows)

    def _entered(self, name: str, value: object) -> object:
        if not (isinstance(value, Tensor) and value.requires_grad):
            return value
        view = value.view_as(value)
        view.register_hook(partial(self._see, "gradient at the input", name))  # type: ignore[no-untyped-call]
        return view

    def _see(self, kind: Kind, name: str, value: Tensor, module: nn.Module | None = None) -> None:
        value = value.detach()  # nothing of this belongs to the graph, which a checkpoint compares with its own again
        if self.finding is None and not value.isfinite().all():
            own = [] if module is None else module.named_parameters(recurse=False)
            broken = tuple(key for key, parameter in own if not local(parameter.detach()).isfinite().all())
            self.finding = Finding(kind=kind, name=name, rows=self._rows(value), broken_weights=broken)

    def _rows(self, value: Tensor) -> tuple[int, ...]:
        """The images concerned; all, where the tensor has not a row for each."""
        if value.ndim == 0 or len(value) != len(self._all_rows):
            return self._all_rows
        return tuple((~value.isfinite()).reshape(len(value), -1).any(dim=1).nonzero().flatten().tolist())

    @property
    def _all_rows(self) -> tuple[int, ...]:
        return tuple(range(len(self.inputs["sigma"])))


@contextmanager
def watching(loss: TrainingLoss) -> Iterator[Watch]:
    """Watch the passes that are made inside, as they are without compilation; no hook stays."""
    watch = Watch()
    handles = [loss.register_forward_pre_hook(watch.begin, with_kwargs=True)]
    for path, module in loss.named_modules():
        name = _in_unet(path)
        handles.append(module.register_forward_pre_hook(partial(watch.enter, name)))
        handles.append(module.register_forward_hook(partial(watch.leave, name)))
    handles.append(loss.register_forward_hook(watch.end))
    try:
        with torch.compiler.set_stance("force_eager"):
            yield watch
    finally:
        for handle in handles:
            handle.remove()


def _in_unet(path: str) -> str:
    """Name of a module or parameter of the loss; in the U-Net that of its state dict."""
    return path.removeprefix("denoiser.unet.").removeprefix("denoiser.") or "the loss"
