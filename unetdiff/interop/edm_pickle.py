"""EDM's `network-snapshot-*.pkl`: the averaged network with the arguments that it was made with.

EDM pickles a module as its class's name and source code and its own attributes. The source code stays text here: the
arguments that constructors recorded and the tensors among the attributes say everything.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from unetdiff.config import UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.interop.edm import edm_config, from_edm
from unetdiff.interop.edm_network import edm_network
from unetdiff.interop.edm_wrapper import edm_wrapper
from unetdiff.interop.unpickling import NAMES, Remembered, read_pickle
from unetdiff.model_info import JSON
from unetdiff.plain import require
from unetdiff.preconditioning import Preconditioning

__all__ = ["read_edm_config", "read_edm_snapshot"]


class _Persistent(Remembered):
    """An object of a class that was pickled as source code."""

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self.class_name: str = meta["class_name"]
        self.state = meta["state"]


_EDM_NAMES = {
    **NAMES,
    ("dnnlib.util", "EasyDict"): dict,
    ("torch.nn.modules.container", "ModuleDict"): Remembered,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _Persistent,
}

_WITHOUT_TENSORS = {
    ("torch._utils", "_rebuild_parameter"): Remembered,
    ("torch._utils", "_rebuild_tensor_v2"): Remembered,
    ("torch.storage", "_load_from_bytes"): Remembered,
}


def read_edm_snapshot(path: Path) -> Denoiser:
    """The denoiser in a snapshot, in float32 and evaluation mode; nothing in the file is executed.

    Raises:
        InputError: another kind of pickle, a damaged one, one that names what no snapshot needs, or a network that is
            not covered.
        OSError: no such file.
    """
    snapshot = read_pickle(path, _EDM_NAMES)
    with _refusing(path):
        network = snapshot["ema"]
        weights = dict(_tensors(network))
        return from_edm(weights, *_arguments(network))


def read_edm_config(path: Path) -> UNetConfig:
    """What network a snapshot holds; its tensors are passed over.

    Raises:
        InputError: as `read_edm_snapshot`.
        OSError: no such file.
    """
    snapshot = read_pickle(path, _EDM_NAMES | _WITHOUT_TENSORS)
    with _refusing(path):
        arguments, preconditioning = _arguments(snapshot["ema"])
        return edm_config(edm_network(arguments), preconditioning)


def _arguments(network: _Persistent) -> tuple[Mapping[str, JSON], Preconditioning]:
    """What the network was made with, and what its wrapper makes of it."""
    return edm_wrapper(network.class_name).split(network.state["_init_args"], network.state["_init_kwargs"])


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Say of which file it is that a pickle has another structure, or an argument no place here."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
        raise InputError(
            f"{path}: a snapshot of EDM with its network under 'ema' expected, got another pickle"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _tensors(network: Remembered) -> Iterator[tuple[str, Tensor]]:
    """The state dict of a module from the attributes that torch gives it."""
    places, seen = [("", network)], set()
    for prefix, module in places:  # those inside join the list
        require(id(module) not in seen, "ema", "every module in one place", f"one of several at {prefix[:50]}")
        seen.add(id(module))
        state = module.state
        passing = state.get("_non_persistent_buffers_set", set())
        for name, tensor in {**state["_parameters"], **state["_buffers"]}.items():
            if isinstance(tensor, Tensor) and name not in passing:
                yield f"{prefix}{name}", tensor
        places += [(f"{prefix}{name}.", child) for name, child in state["_modules"].items() if child is not None]
