"""Read the file format of PyTorch before 1.6 without PyTorch.

The embedded weights are in this format: five pickles (a magic number, the protocol's version, a
description of the machine, the tensors, the storages' keys), then the storages, each a 64-bit count
and its raw numbers. Pickles can run code, so this reader knows only the names that an ordinary
state dict uses, and refuses all others. It does not check the numbers: use it only for bytes whose
digest is known.
"""

import io
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor whose values come later in the file."""

    key: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def of(self, storage: np.ndarray) -> np.ndarray:
        strides = tuple(step * storage.itemsize for step in self.stride)
        view = np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, strides)
        return np.ascontiguousarray(view).reshape(self.shape)


class _StateDictUnpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.dtypes: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch", "FloatStorage" | "LongStorage":
                return name
            case "torch._utils", "_rebuild_tensor_v2":
                return lambda key, offset, shape, stride, *_: _View(key, offset, shape, stride)
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a state dict")

    def persistent_load(self, pid: Any) -> str:
        _, storage, key, *_ = pid
        self.dtypes[key] = _DTYPES[storage]
        return str(key)


def read_legacy_checkpoint(content: bytes) -> dict[str, np.ndarray]:
    """Return the tensors of a state dict whose digest the caller has verified, in the file's order.

    Raises:
        UnpicklingError: something in it is not part of a state dict; the message names it.
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
