"""Reading pickles without running them: a name means what a given table says, or the file is refused.

A pickle builds its objects by calling what it names. Python's own reader imports whatever that is; here nothing is
imported, and a name in the table stands for a container, for a tensor's numbers, or for an object that only remembers.
"""

import copyreg
import io
import math
import pickle
import re
import reprlib
import struct
import textwrap
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, BinaryIO, NoReturn

import torch
from torch import Tensor
from torch.storage import TypedStorage

from unetdiff.errors import InputError
from unetdiff.interop.pickle_limits import require_modest

__all__ = ["NAMES", "Remembered", "read_checkpoint", "read_pickle"]

# what unpickling raises where bytes are wrong, torch's own reader included
_DAMAGED = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


class Remembered:
    """Any object, of which only the state that was pickled is kept."""

    state: Mapping[str, Any] = {}

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.state = state


def _storage(payload: bytes) -> Tensor:
    """The numbers of a pickled storage, flat."""
    storage = _load(io.BytesIO(payload))
    if not isinstance(storage, TypedStorage):
        raise InputError(f"a tensor's numbers expected, got {type(storage).__name__}")
    return torch.tensor([], dtype=storage.dtype).set_(storage._untyped_storage)  # storage.untyped() warns


def _tensor(flat: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    if math.prod(size) > flat.numel():  # a step of 0 would make any number of them
        raise ValueError(f"a tensor of shape {size} in a storage of {flat.numel()} numbers")
    return flat.as_strided(size, stride, offset)


def _parameter(tensor: Tensor, *_: object) -> Tensor:
    return tensor


# What pickled containers and tensors name, whoever wrote them.
NAMES: Mapping[tuple[str, str], object] = {
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("numpy", "dtype"): Remembered,
    ("numpy.core.multiarray", "scalar"): Remembered,
    ("numpy._core.multiarray", "scalar"): Remembered,
}


class _Reader(pickle.Unpickler):
    def __init__(self, file: BinaryIO, names: Mapping[tuple[str, str], object]) -> None:
        super().__init__(file)
        self._names = names

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self._names:
            raise InputError(f"names of containers and tensors expected, got {module}.{name}")
        meaning = self._names[module, name]
        # a pickle may set attributes on what it names: a function is handed out in a wrapper that dies with the reader
        return partial(meaning) if isinstance(meaning, FunctionType) else meaning

    def persistent_load(self, key: object) -> NoReturn:
        raise InputError(f"every object inside the file expected, got the persistent id {reprlib.repr(key)}")


def read_pickle(path: Path, names: Mapping[tuple[str, str], object]) -> Any:  # noqa: ANN401  # whatever was pickled
    """The pickled object, every (module, name) in it replaced by its entry in `names`.

    Raises:
        InputError: a name that is not among them, a persistent id, or a damaged file.
        OSError: no such file.
    """
    copyreg.clear_extension_cache()  # what this process has in it would be handed out without asking find_class
    with _refusing(path), path.open("rb") as file:
        require_modest(file)
        file.seek(0)
        return _Reader(file, names).load()


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The named tensors in a file of `torch.save`, by torch's own restricted reader.

    Raises:
        InputError: a file that holds something else, or a damaged one.
        OSError: no such file.
    """
    with _refusing(path), path.open("rb") as file:
        tensors = _load(file)
        if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
            raise InputError(f"named tensors expected, got {type(tensors).__name__} of other things")
        return tensors


def _load(file: BinaryIO) -> Any:  # noqa: ANN401  # whatever was saved
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        raise InputError(f"numbers and their containers expected, got {name[1] if name else 'damaged data'}") from error


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Say which file it was."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except _DAMAGED as error:
        reason = textwrap.shorten(str(error) or type(error).__name__, 200)
        raise InputError(f"{path}: a complete file expected, this one cannot be read: {reason}") from error
