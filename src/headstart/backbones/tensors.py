"""Files of weights as plain arrays, and the digest that identifies a set of weights.

safetensors files are read without PyTorch. `.pth` and `.pt` files need it, and are opened with
`weights_only`, so that no file can run code.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, deserialize

from headstart.errors import BackboneError, MissingExtraError
from headstart.system.digests import hasher
from headstart.system.text import shortened

if TYPE_CHECKING:
    from torch import Tensor

_AGAIN = "copy or download it again"
_DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}
_WRAPPERS = ("state_dict", "model")  # keys under which training scripts put the tensors
_COUNTER = "num_batches_tracked"
_PREFIX = "module."  # prefix that DataParallel adds to every name


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors in a file of weights, by name and in the file's order.

    bfloat16, which NumPy lacks, becomes float32 without loss.

    The file is a `.safetensors` file, or one that `torch.save` wrote (`.pth`, `.pt`, `.bin`).

    Raises:
        BackboneError: there is no such file, it is damaged, or not a dictionary of tensors.
        MissingExtraError: the file needs PyTorch, which is not installed.
    """
    if not path.is_file():
        raise BackboneError(f"there is no weights file at {path}; check the path")
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pytorch(path)
    if not tensors:
        raise BackboneError(f"{path} contains no tensors; give the file with the network's weights")
    if all(name.startswith(_PREFIX) for name in tensors):
        return {name.removeprefix(_PREFIX): array for name, array in tensors.items()}
    return tensors


def digest(tensors: Mapping[str, np.ndarray]) -> str:
    """Return 32 hex digits over names, dtypes, shapes and bytes, for any order of the names."""
    hashed = hasher()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        # Little-endian, so that every machine computes the same digits.
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        shape = tensors[name].shape  # ascontiguousarray makes a scalar one-dimensional
        hashed.update(f"{name}\0{array.dtype.str}\0{shape}\0".encode())
        hashed.update(array.data)
    return hashed.hexdigest()


def without_counters(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors without the batch counters, which do not affect results."""
    return {name: array for name, array in tensors.items() if not name.endswith(_COUNTER)}


def frozen(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return read-only views of the same tensors."""
    views = {name: array.view() for name, array in tensors.items()}
    for view in views.values():
        view.flags.writeable = False
    return views


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        entries: list[tuple[str, dict[str, Any]]] = deserialize(  # type: ignore[no-untyped-call]
            path.read_bytes()
        )
    except (OSError, SafetensorError) as error:
        raise BackboneError(
            f"{path} is not a readable safetensors file ({shortened(str(error), 200)}); "
            "download or copy it again"
        ) from error
    return {name: _array(name, entry, path) for name, entry in entries}


def _array(name: str, entry: dict[str, Any], path: Path) -> np.ndarray:
    if entry["dtype"] == "BF16":  # the upper half of a float32
        wide = np.frombuffer(entry["data"], "<u2").astype("<u4") << 16
        return wide.view("<f4").reshape(entry["shape"])
    if entry["dtype"] not in _DTYPES:
        raise BackboneError(
            f"{path}: {name} has the number format {entry['dtype']}; "
            f"store the weights as float32, float16 or bfloat16"
        )
    # A copy: arrays over bytes are read-only, and PyTorch warns about them.
    return np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"]).copy()


def _read_pytorch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise MissingExtraError(f"reading {path.name}", extra="torch") from None
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles that it does not expect
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged files make PyTorch raise anything
        # PyTorch's own message explains how to run code from the file after all.
        raise BackboneError(
            f"{path} is damaged, or not a file of tensors that can be read without running code; "
            f"copy it again, or save the network's state_dict() as safetensors"
        ) from error
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise BackboneError(
            f"{path} contains a {type(content).__name__}, not a dictionary of tensors; "
            f"save the network's state_dict()"
        )
    tensors = {}
    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            raise BackboneError(
                f"{path}: {name!r} is a {type(value).__name__}, not a tensor; "
                f"save the network's state_dict() and nothing else"
            )
        tensors[str(name)] = _dense(path, str(name), value)
    # A damaged view may repeat its values without end.
    if sum(array.nbytes for array in tensors.values()) > 2 * path.stat().st_size:
        raise BackboneError(f"{path} is damaged: its tensors are larger than the file; {_AGAIN}")
    return tensors


def _dense(path: Path, name: str, value: Tensor) -> np.ndarray:
    """Return an ordinary tensor as an array; bfloat16 as float32."""
    import torch

    ordinary = value.layout is torch.strided and value.device.type == "cpu"
    try:
        if not ordinary or value.is_quantized or value.is_complex():
            raise TypeError("sparse, quantized, complex or without values")
        value = value.detach().resolve_conj().resolve_neg()
        return (value.float() if value.dtype is torch.bfloat16 else value).numpy()
    except (RuntimeError, TypeError, ValueError) as error:
        kind = f"{value.dtype}, {value.layout}, {value.device.type}".replace("torch.", "")
        raise BackboneError(
            f"{path}: {name} is not an ordinary tensor ({kind}); "
            f"store the weights as float32, float16 or bfloat16"
        ) from error
