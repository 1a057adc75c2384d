"""Reads the file format of PyTorch before 1.6 without PyTorch.

The embedded weights come in it. The format is five pickles (a magic number, the protocol's
version, a description of the machine, the tensors, the storages' keys) followed by the storages,
each a 64-bit count and its raw numbers. Pickles can run code, so this reader knows the five names
that an ordinary state dict uses, and refuses every other. It trusts the numbers: only bytes whose
digest is known are to be read with it.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES: dict[object, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor whose numbers come later in the file."""

    key: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def of(self, storage: np.ndarray) -> np.ndarray:
        strides = tuple(step * storage.itemsize for step in self.stride)
        view = np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, strides)
        return np.ascontiguousarray(view).reshape(self.shape)


class _StateDictUnpickler(pickle.Unpickler):
    _ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch", "FloatStorage"): "FloatStorage",
        ("torch", "LongStorage"): "LongStorage",
    }

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.dtypes: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._rebuild
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of a state dict") from None

    def persistent_load(self, pid: Any) -> str:
        _, storage, key, *_ = pid
        self.dtypes[key] = _DTYPES[storage]
        return str(key)

    @staticmethod
    def _rebuild(
        key: str, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
    ) -> _View:
        return _View(key, offset, shape, stride)


def read_legacy_checkpoint(content: bytes) -> dict[str, np.ndarray]:
    """The tensors of a state dict, by name and in the file's order.

    Args:
        content: a whole file, whose digest the caller has checked.

    Raises:
        UnpicklingError: it names what is not part of a state dict.
    """
    file = io.BytesIO(content)
    if _StateDictUnpickler(file).load() != _MAGIC:
        raise pickle.UnpicklingError("this is not PyTorch's format before 1.6")
    for _ in ("protocol", "machine"):
        _StateDictUnpickler(file).load()
    unpickler = _StateDictUnpickler(file)
    views: dict[str, _View] = unpickler.load()
    storages: dict[str, np.ndarray] = {}
    for key in _StateDictUnpickler(file).load():
        count = int.from_bytes(file.read(8), "little")
        dtype = unpickler.dtypes[key]
        storages[key] = np.frombuffer(content, dtype, count, file.tell())
        file.seek(count * dtype.itemsize, io.SEEK_CUR)
    return {name: view.of(storages[view.key]) for name, view in views.items()}
