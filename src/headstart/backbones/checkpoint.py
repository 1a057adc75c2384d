"""Reads the file format of PyTorch before 1.6 without PyTorch.

The embedded weights come in it. The format is five pickles (a magic number, the protocol's
version, a description of the machine, the tensors, the storages' keys) followed by the storages,
each a 64-bit count and its raw numbers. Pickles can run code, so this reader knows the five names
that an ordinary state dict uses, and refuses every other.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from headstart.errors import BackboneError

_MAGIC = 0x1950A86A20F9469CFC6C
_BROKEN = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)
"""What unpickling damaged bytes has been seen to raise, or says that it may."""
_DTYPES: dict[object, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}


class _View:
    """A tensor whose numbers come later in the file."""

    def __init__(
        self, key: str, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
    ) -> None:
        self.key, self.offset, self.shape, self.stride = key, offset, shape, stride

    def of(self, storage: np.ndarray) -> np.ndarray:
        last = self.offset + sum(
            (size - 1) * step for size, step in zip(self.shape, self.stride, strict=True)
        )
        least = min((self.offset, *self.stride, *self.shape))
        # as_strided checks nothing: a forged view would read the memory around the storage.
        if least < 0 or (0 not in self.shape and last >= len(storage)):
            raise ValueError(f"a tensor reaches beyond its storage of {len(storage)} numbers")
        strides = tuple(step * storage.itemsize for step in self.stride)
        view = np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, strides)
        return np.ascontiguousarray(view)


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
        _, storage, key, _, _, view = pid
        if view is not None:
            raise pickle.UnpicklingError("views of storages are not part of a state dict")
        self.dtypes[key] = _DTYPES[storage]
        return str(key)

    @staticmethod
    def _rebuild(
        key: str, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
    ) -> _View:
        return _View(key, offset, shape, stride)


def read_legacy_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict, by name and in the file's order.

    Raises:
        BackboneError: the file is not such a state dict, or is damaged.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise BackboneError(f"cannot read {path}: {error.strerror or error}") from error
    except _BROKEN as error:
        raise BackboneError(
            f"{path} is not a readable state dict ({error}); install its package again"
        ) from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    if _StateDictUnpickler(file).load() != _MAGIC:
        raise ValueError("wrong magic number")
    for _ in ("protocol", "machine"):
        _StateDictUnpickler(file).load()
    unpickler = _StateDictUnpickler(file)
    views: dict[str, _View] = unpickler.load()
    storages: dict[str, np.ndarray] = {}
    read: Callable[[int], bytes] = file.read
    for key in _StateDictUnpickler(file).load():
        count = int.from_bytes(read(8), "little")
        dtype = unpickler.dtypes[key]
        storages[key] = np.frombuffer(read(count * dtype.itemsize), dtype, count)
    return {name: view.of(storages[view.key]) for name, view in views.items()}
