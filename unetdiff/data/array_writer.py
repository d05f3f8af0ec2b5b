"""An .npy file that grows at its end, for an array whose number of rows is known only when all are written."""

from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

__all__ = ["ArrayWriter"]


class ArrayWriter:
    """Context manager; numpy pads headers, so the row count is filled in at the end without moving the data."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._shape: tuple[int, ...] = ()
        self._dtype: np.dtype[np.generic] = np.dtype(np.uint8)
        self._data = 0

    def append(self, rows: NDArray[np.generic]) -> None:
        """Write more rows, of the same shape and type as the first ones."""
        if not self._shape:
            self._shape, self._dtype = (0, *rows.shape[1:]), rows.dtype
            self._write_header()
            self._data = self._file.tell()
        assert rows.shape[1:] == self._shape[1:]
        assert rows.dtype == self._dtype
        self._file.write(np.ascontiguousarray(rows).data)
        self._shape = (self._shape[0] + len(rows), *self._shape[1:])

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._write_header()
                assert self._file.tell() == self._data

    def _write_header(self) -> None:
        header = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": self._shape}
        npy.write_array_header_1_0(self._file, header)
